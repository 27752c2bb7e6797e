//! Restriction enzymes by name.

use std::fmt;
use std::str::FromStr;

use kilobase_data::enzymes::{SITES, find};
use serde::{Deserialize, Serialize};

use super::super::base::{Motif, as_text};
use super::ParseError;

/// A restriction enzyme, or another one with a site of its own: those common in cloning and assembly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Enzyme {
    row: usize,
}

impl Enzyme {
    /// All that are known, by name.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..SITES.len()).map(|row| Self { row })
    }

    /// Its name as it is written, such as `EcoRI`.
    pub const fn name(&self) -> &'static str {
        SITES[self.row].0
    }

    /// What it recognises on one of the strands, without where it cuts.
    pub fn site(&self) -> Motif {
        SITES[self.row].1.parse().expect("the table has IUPAC codes")
    }
}

/// Names are read in any case.
impl FromStr for Enzyme {
    type Err = ParseError;

    fn from_str(name: &str) -> Result<Self, ParseError> {
        find(name).map(|row| Self { row }).ok_or_else(|| {
            ParseError::new("enzyme", name, "a known restriction enzyme, such as EcoRI or BsaI")
        })
    }
}

impl fmt::Display for Enzyme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

as_text!(Enzyme);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sites_are_motifs() {
        for enzyme in Enzyme::all() {
            assert!((4..=18).contains(&enzyme.site().len()), "{enzyme}");
            assert_eq!(enzyme.name().parse(), Ok(enzyme));
        }
    }

    #[test]
    fn names_are_read_in_any_case() {
        let enzyme: Enzyme = "ecori".parse().expect("a name");
        assert_eq!((enzyme.name(), enzyme.site().to_string().as_str()), ("EcoRI", "GAATTC"));
        assert!("EcoR1".parse::<Enzyme>().is_err());
    }
}
