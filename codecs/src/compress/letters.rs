//! What becomes of the letters of a sequence before it is compared.

use super::model_file::{Error, Result, put, take};

/// Case of letters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Case {
    /// Lower case is read as upper case, and U as T.
    #[default]
    Upper,
    /// Letters stay as they are.
    Keep,
}

/// Letters other than A, C, G and T.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ambiguous {
    /// They stay.
    #[default]
    Keep,
    /// They are left out.
    Skip,
}

/// The form in which sequences are compared. It is part of a model: queries must take the form of what it was trained on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Letters {
    /// Case of letters.
    pub case: Case,
    /// Letters other than A, C, G and T.
    pub ambiguous: Ambiguous,
}

impl Letters {
    /// Brings a sequence to this form.
    pub fn apply(self, sequence: &mut Vec<u8>) {
        if self.case == Case::Upper {
            sequence.make_ascii_uppercase();
            for letter in sequence.iter_mut().filter(|letter| **letter == b'U') {
                *letter = b'T';
            }
        }
        if self.ambiguous == Ambiguous::Skip {
            sequence.retain(|letter| matches!(letter.to_ascii_uppercase(), b'A' | b'C' | b'G' | b'T' | b'U'));
        }
    }

    pub(super) fn put(self, out: &mut Vec<u8>) {
        let kept = u64::from(self.case == Case::Keep);
        let skipped = u64::from(self.ambiguous == Ambiguous::Skip);
        put(out, kept | skipped << 1);
    }

    pub(super) fn take(bytes: &mut &[u8]) -> Result<Self> {
        let code = take(bytes)?;
        if code > 3 {
            return Err(Error::Invalid { what: "its rule for letters is not known" });
        }
        Ok(Self {
            case: if code & 1 > 0 { Case::Keep } else { Case::Upper },
            ambiguous: if code & 2 > 0 { Ambiguous::Skip } else { Ambiguous::Keep },
        })
    }
}

impl std::fmt::Display for Letters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.case {
            Case::Upper => "case upper",
            Case::Keep => "case keep",
        })?;
        f.write_str(match self.ambiguous {
            Ambiguous::Keep => ", ambiguous keep",
            Ambiguous::Skip => ", ambiguous skip",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_does_as_it_says_and_is_read_back() {
        for (case, ambiguous, expected) in [
            (Case::Upper, Ambiguous::Keep, &b"ACGTTNR"[..]),
            (Case::Keep, Ambiguous::Keep, b"aCgTuNr"),
            (Case::Upper, Ambiguous::Skip, b"ACGTT"),
            (Case::Keep, Ambiguous::Skip, b"aCgTu"),
        ] {
            let rule = Letters { case, ambiguous };
            let mut sequence = b"aCgTuNr".to_vec();
            rule.apply(&mut sequence);
            assert_eq!(sequence, expected, "{rule}");
            let mut bytes = Vec::new();
            rule.put(&mut bytes);
            assert_eq!(Letters::take(&mut &bytes[..]).unwrap(), rule);
        }
        assert!(matches!(Letters::take(&mut &[4][..]), Err(Error::Invalid { .. })));
    }
}
