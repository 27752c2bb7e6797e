//! Where in a sequence a class finds what it knows.

use super::Model;

impl Model {
    /// Bits of every letter of an upper-case sequence in every class: a row a letter.
    pub fn profile(&self, sequence: &[u8]) -> Vec<f32> {
        let mut track = Vec::with_capacity(sequence.len() * self.classes.len());
        self.each(sequence, |_, bits| track.extend_from_slice(bits));
        track
    }
}
