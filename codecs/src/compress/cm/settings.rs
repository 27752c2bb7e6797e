use super::{Context, frame};

/// Whether contexts in the reading frame are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coding {
    /// If the training sequences read as genes.
    #[default]
    Auto,
    /// Always.
    Yes,
    /// Never: for genomes and RNA.
    No,
}

/// What decides the numbers of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The contexts that are mixed.
    pub contexts: Vec<Context>,
    /// The power by which weights decay.
    pub decay: f64,
}

impl Settings {
    /// The settings of the specification: bases, and with `coding` amino acids and their groups.
    pub fn new(coding: bool) -> Self {
        let mut contexts: Vec<Context> = [2, 3, 4, 6, 8, 11, 12, 16, 20].map(Context::Bases).to_vec();
        if coding {
            contexts.extend([1, 2, 3, 4, 6].map(Context::Amino));
            contexts.extend([3, 4, 5, 6, 8].map(Context::Groups));
        }
        Self { contexts, decay: 0.8 }
    }

    /// The reading frame of a sequence, if any context needs one.
    pub(super) fn frame(&self, sequence: &[u8]) -> Option<usize> {
        self.contexts.iter().any(|context| context.is_coding()).then(|| frame::best(sequence).0)
    }
}
