//! Sites of restriction enzymes in strands.

use super::{Error, Result};
use kilobase_data::enzymes;

/// A site to avoid, as sets of symbols, for both strands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enzyme {
    /// As in REBASE.
    pub name: &'static str,
    /// Bit `s` of an element says whether the symbol `s` may stand there.
    sites: Vec<Vec<u8>>,
}

impl Enzyme {
    /// By name, in upper or lower case.
    pub fn find(name: &str) -> Result<Self> {
        let unknown = || Error::Enzyme {
            name: name.to_owned(),
            known: enzymes::SITES.iter().map(|entry| entry.0).collect::<Vec<_>>().join(", "),
        };
        let (name, site) = enzymes::SITES[enzymes::find(name).ok_or_else(unknown)?];
        let forward: Vec<u8> = site.bytes().map(set).collect();
        // A pairs with T, which are neighbours in the order of symbols, and so do G and C.
        let pair = |set: &u8| (set & 0b0101) << 1 | (set & 0b1010) >> 1;
        let reverse: Vec<u8> = forward.iter().rev().map(pair).collect();
        let mut sites = vec![forward, reverse];
        sites.dedup();
        Ok(Self { name, sites })
    }

    /// Sites in `strand`, on either strand.
    pub fn count(&self, strand: &[u8]) -> usize {
        let matches =
            |window: &[u8], site: &[u8]| window.iter().zip(site).all(|(&symbol, set)| set >> symbol & 1 == 1);
        self.sites
            .iter()
            .map(|site| strand.windows(site.len()).filter(|window| matches(window, site)).count())
            .sum()
    }
}

/// Symbols of an IUPAC code.
const fn set(code: u8) -> u8 {
    let (a, t, g, c) = (1, 2, 4, 8);
    match code {
        b'A' => a,
        b'T' => t,
        b'G' => g,
        b'C' => c,
        b'R' => a | g,
        b'Y' => c | t,
        b'M' => a | c,
        b'K' => g | t,
        b'W' => a | t,
        b'S' => g | c,
        b'B' => c | g | t,
        b'D' => a | g | t,
        b'H' => a | c | t,
        b'V' => a | c | g,
        _ => a | t | g | c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dloco::alphabet::to_symbols;

    fn count(name: &str, strand: &str) -> usize {
        Enzyme::find(name).unwrap().count(&to_symbols(strand.as_bytes()).unwrap())
    }

    #[test]
    fn sites_are_found_on_both_strands() {
        assert_eq!(count("ecori", "TTGAATTCTTGAATTC"), 2);
        assert_eq!(count("BsaI", "AAGGTCTCAA"), 1);
        assert_eq!(count("BsaI", "AAGAGACCAA"), 1, "the reverse complement");
        assert_eq!(count("SfiI", "GGCCACGTAGGCC"), 1);
        assert_eq!(count("HincII", "GTTGACGTCAACGTAAAC"), 2);
    }

    #[test]
    fn unknown_name_is_told_with_the_known_ones() {
        let error = Enzyme::find("EcoRX").unwrap_err().to_string();
        assert!(error.contains("EcoRX") && error.contains("EcoRI"), "{error}");
    }
}
