//! Sequences that are not whole k-mers: bases dropped from the left, or a rest at the end that the tokenizer does not know.

use crate::cli::exit::Usage;
use crate::cli::output::Console;

/// What becomes of the bases that fill no token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tail {
    /// Bases of a token; none where tokens are of several lengths, so that nothing is left over.
    k: Option<usize>,
    trim: bool,
}

impl Tail {
    pub(super) fn new(k: Option<usize>, trim: bool) -> Result<Self, Usage> {
        if trim && k.is_none() {
            return Err(Usage(
                "--trim: the tokens of this model are of several lengths and leave no rest".to_owned(),
            ));
        }
        Ok(Self { k, trim })
    }

    /// Bases of a token, where all have the same number.
    pub(super) fn k(self) -> Option<usize> {
        self.k
    }

    fn rest(self, length: usize) -> usize {
        self.k.map_or(0, |k| length % k)
    }

    /// Bases to drop from the left of a sequence. One that is shorter than a token stays: there would be nothing left.
    pub(super) fn dropped(self, length: usize) -> usize {
        let rest = self.rest(length);
        if self.trim && rest < length { rest } else { 0 }
    }

    /// Whether the end of a sequence is read as an unknown token.
    pub(super) fn is_unknown(self, length: usize) -> bool {
        self.rest(length - self.dropped(length)) > 0
    }

    /// Says how many of the sequences that is true of.
    pub(super) fn warn(self, unknown: u64, sequences: u64, console: &Console) {
        let Some(k) = self.k.filter(|_| unknown > 0) else { return };
        if self.trim {
            console.warn(format_args!(
                "{unknown} of {sequences} sequences have fewer than the {k} bases of a token and are read as an unknown one"
            ));
        } else {
            console.warn(format_args!(
                "{unknown} of {sequences} sequences are not whole tokens of {k} bases: the rest at their end is read as an unknown \
                 token; --trim drops bases from the left in place of that"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_is_dropped_from_the_left_or_unknown_but_never_all_there_is() {
        let (keep, trim) = (Tail::new(Some(6), false).unwrap(), Tail::new(Some(6), true).unwrap());
        assert_eq!((keep.dropped(14), keep.is_unknown(14), keep.is_unknown(12)), (0, true, false));
        assert_eq!((trim.dropped(14), trim.is_unknown(14)), (2, false));
        assert_eq!((trim.dropped(5), trim.is_unknown(5)), (0, true));
        let none = Tail::new(None, false).unwrap();
        assert_eq!((none.dropped(14), none.is_unknown(14)), (0, false));
        assert!(Tail::new(None, true).is_err());
    }
}
