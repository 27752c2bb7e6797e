//! Restriction enzymes, by name, with the sites that they recognise.

use super::{Error, Result};

/// Name and site, 5' to 3', in IUPAC codes. Recognition only: where the enzyme cuts does not matter here.
///
/// From REBASE (rebase.neb.com), the prototypes and common isoschizomers in use for cloning.
const TABLE: &[(&str, &str)] = &[
    ("AarI", "CACCTGC"),
    ("AatII", "GACGTC"),
    ("AccI", "GTMKAC"),
    ("AflII", "CTTAAG"),
    ("AgeI", "ACCGGT"),
    ("AluI", "AGCT"),
    ("ApaI", "GGGCCC"),
    ("ApaLI", "GTGCAC"),
    ("AscI", "GGCGCGCC"),
    ("AseI", "ATTAAT"),
    ("AvaI", "CYCGRG"),
    ("AvrII", "CCTAGG"),
    ("BamHI", "GGATCC"),
    ("BbsI", "GAAGAC"),
    ("BclI", "TGATCA"),
    ("BglI", "GCCNNNNNGGC"),
    ("BglII", "AGATCT"),
    ("BsaI", "GGTCTC"),
    ("BsmBI", "CGTCTC"),
    ("BspHI", "TCATGA"),
    ("BsrGI", "TGTACA"),
    ("BssHII", "GCGCGC"),
    ("BstBI", "TTCGAA"),
    ("BstXI", "CCANNNNNNTGG"),
    ("ClaI", "ATCGAT"),
    ("DraI", "TTTAAA"),
    ("EagI", "CGGCCG"),
    ("EcoRI", "GAATTC"),
    ("EcoRV", "GATATC"),
    ("FseI", "GGCCGGCC"),
    ("HaeIII", "GGCC"),
    ("HincII", "GTYRAC"),
    ("HindIII", "AAGCTT"),
    ("HpaI", "GTTAAC"),
    ("HpaII", "CCGG"),
    ("KpnI", "GGTACC"),
    ("MboI", "GATC"),
    ("MfeI", "CAATTG"),
    ("MluI", "ACGCGT"),
    ("MspI", "CCGG"),
    ("NarI", "GGCGCC"),
    ("NcoI", "CCATGG"),
    ("NdeI", "CATATG"),
    ("NheI", "GCTAGC"),
    ("NotI", "GCGGCCGC"),
    ("NruI", "TCGCGA"),
    ("NsiI", "ATGCAT"),
    ("PacI", "TTAATTAA"),
    ("PmeI", "GTTTAAAC"),
    ("PstI", "CTGCAG"),
    ("PvuI", "CGATCG"),
    ("PvuII", "CAGCTG"),
    ("SacI", "GAGCTC"),
    ("SacII", "CCGCGG"),
    ("SalI", "GTCGAC"),
    ("SapI", "GCTCTTC"),
    ("Sau3AI", "GATC"),
    ("SbfI", "CCTGCAGG"),
    ("ScaI", "AGTACT"),
    ("SfiI", "GGCCNNNNNGGCC"),
    ("SmaI", "CCCGGG"),
    ("SnaBI", "TACGTA"),
    ("SpeI", "ACTAGT"),
    ("SphI", "GCATGC"),
    ("StuI", "AGGCCT"),
    ("StyI", "CCWWGG"),
    ("SwaI", "ATTTAAAT"),
    ("TaqI", "TCGA"),
    ("XbaI", "TCTAGA"),
    ("XhoI", "CTCGAG"),
    ("XmaI", "CCCGGG"),
];

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
            known: TABLE.iter().map(|entry| entry.0).collect::<Vec<_>>().join(", "),
        };
        let (name, site) =
            TABLE.iter().find(|entry| entry.0.eq_ignore_ascii_case(name)).ok_or_else(unknown)?;
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

    #[test]
    fn table_is_sorted_and_has_only_known_codes() {
        assert!(TABLE.is_sorted_by_key(|entry| entry.0.to_lowercase()));
        assert!(TABLE.iter().all(|entry| entry.1.bytes().all(|code| b"ACGTRYMKWSN".contains(&code))));
    }
}
