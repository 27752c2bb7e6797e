//! Restriction enzymes by name.

use std::fmt;
use std::str::FromStr;

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
        let known = Self::all().find(|enzyme| enzyme.name().eq_ignore_ascii_case(name));
        known.ok_or_else(|| {
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

/// Recognition sequences as in REBASE (Roberts et al. 2023), by name.
const SITES: &[(&str, &str)] = &[
    ("AarI", "CACCTGC"),
    ("AatII", "GACGTC"),
    ("Acc65I", "GGTACC"),
    ("AccI", "GTMKAC"),
    ("AclI", "AACGTT"),
    ("AfeI", "AGCGCT"),
    ("AflII", "CTTAAG"),
    ("AflIII", "ACRYGT"),
    ("AgeI", "ACCGGT"),
    ("AhdI", "GACNNNNNGTC"),
    ("AluI", "AGCT"),
    ("AlwNI", "CAGNNNCTG"),
    ("ApaI", "GGGCCC"),
    ("ApaLI", "GTGCAC"),
    ("AscI", "GGCGCGCC"),
    ("AseI", "ATTAAT"),
    ("AsiSI", "GCGATCGC"),
    ("AvaI", "CYCGRG"),
    ("AvaII", "GGWCC"),
    ("AvrII", "CCTAGG"),
    ("BamHI", "GGATCC"),
    ("BanI", "GGYRCC"),
    ("BanII", "GRGCYC"),
    ("BbsI", "GAAGAC"),
    ("BbvCI", "CCTCAGC"),
    ("BbvI", "GCAGC"),
    ("BclI", "TGATCA"),
    ("BfuAI", "ACCTGC"),
    ("BglI", "GCCNNNNNGGC"),
    ("BglII", "AGATCT"),
    ("BlpI", "GCTNAGC"),
    ("BpiI", "GAAGAC"),
    ("BsaHI", "GRCGYC"),
    ("BsaI", "GGTCTC"),
    ("BseRI", "GAGGAG"),
    ("BsgI", "GTGCAG"),
    ("BsiWI", "CGTACG"),
    ("BsmAI", "GTCTC"),
    ("BsmBI", "CGTCTC"),
    ("BsmFI", "GGGAC"),
    ("BsmI", "GAATGC"),
    ("BspEI", "TCCGGA"),
    ("BspHI", "TCATGA"),
    ("BspMI", "ACCTGC"),
    ("BspQI", "GCTCTTC"),
    ("BsrGI", "TGTACA"),
    ("BssHII", "GCGCGC"),
    ("BstBI", "TTCGAA"),
    ("BstEII", "GGTNACC"),
    ("BstXI", "CCANNNNNNTGG"),
    ("BstYI", "RGATCY"),
    ("BtgZI", "GCGATG"),
    ("BtsI", "GCAGTG"),
    ("ClaI", "ATCGAT"),
    ("DdeI", "CTNAG"),
    ("DpnI", "GATC"),
    ("DraI", "TTTAAA"),
    ("DraIII", "CACNNNGTG"),
    ("EagI", "CGGCCG"),
    ("EarI", "CTCTTC"),
    ("EciI", "GGCGGA"),
    ("Eco31I", "GGTCTC"),
    ("EcoNI", "CCTNNNNNAGG"),
    ("EcoO109I", "RGGNCCY"),
    ("EcoP15I", "CAGCAG"),
    ("EcoRI", "GAATTC"),
    ("EcoRV", "GATATC"),
    ("Esp3I", "CGTCTC"),
    ("FokI", "GGATG"),
    ("FseI", "GGCCGGCC"),
    ("FspI", "TGCGCA"),
    ("HaeII", "RGCGCY"),
    ("HaeIII", "GGCC"),
    ("HgaI", "GACGC"),
    ("HhaI", "GCGC"),
    ("HincII", "GTYRAC"),
    ("HindIII", "AAGCTT"),
    ("HinfI", "GANTC"),
    ("HpaI", "GTTAAC"),
    ("HpaII", "CCGG"),
    ("I-SceI", "TAGGGATAACAGGGTAAT"),
    ("KasI", "GGCGCC"),
    ("KpnI", "GGTACC"),
    ("LguI", "GCTCTTC"),
    ("MboI", "GATC"),
    ("MfeI", "CAATTG"),
    ("MluI", "ACGCGT"),
    ("MlyI", "GAGTC"),
    ("MmeI", "TCCRAC"),
    ("MscI", "TGGCCA"),
    ("MseI", "TTAA"),
    ("MspI", "CCGG"),
    ("NaeI", "GCCGGC"),
    ("NarI", "GGCGCC"),
    ("NcoI", "CCATGG"),
    ("NdeI", "CATATG"),
    ("NgoMIV", "GCCGGC"),
    ("NheI", "GCTAGC"),
    ("NlaIII", "CATG"),
    ("NotI", "GCGGCCGC"),
    ("NruI", "TCGCGA"),
    ("NsiI", "ATGCAT"),
    ("NspI", "RCATGY"),
    ("PacI", "TTAATTAA"),
    ("PaqCI", "CACCTGC"),
    ("PciI", "ACATGT"),
    ("PflMI", "CCANNNNNTGG"),
    ("PmeI", "GTTTAAAC"),
    ("PmlI", "CACGTG"),
    ("PpuMI", "RGGWCCY"),
    ("PsiI", "TTATAA"),
    ("PstI", "CTGCAG"),
    ("PvuI", "CGATCG"),
    ("PvuII", "CAGCTG"),
    ("RsaI", "GTAC"),
    ("RsrII", "CGGWCCG"),
    ("SacI", "GAGCTC"),
    ("SacII", "CCGCGG"),
    ("SalI", "GTCGAC"),
    ("SapI", "GCTCTTC"),
    ("Sau3AI", "GATC"),
    ("SbfI", "CCTGCAGG"),
    ("ScaI", "AGTACT"),
    ("SexAI", "ACCWGGT"),
    ("SfiI", "GGCCNNNNNGGCC"),
    ("SfoI", "GGCGCC"),
    ("SgrAI", "CRCCGGYG"),
    ("SmaI", "CCCGGG"),
    ("SnaBI", "TACGTA"),
    ("SpeI", "ACTAGT"),
    ("SphI", "GCATGC"),
    ("SrfI", "GCCCGGGC"),
    ("SspI", "AATATT"),
    ("StuI", "AGGCCT"),
    ("StyI", "CCWWGG"),
    ("SwaI", "ATTTAAAT"),
    ("TaqI", "TCGA"),
    ("TspRI", "CASTG"),
    ("XbaI", "TCTAGA"),
    ("XcmI", "CCANNNNNNNNNTGG"),
    ("XhoI", "CTCGAG"),
    ("XmaI", "CCCGGG"),
    ("XmnI", "GAANNNNTTC"),
    ("ZraI", "GACGTC"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_readable() {
        let names: Vec<_> = SITES.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
        assert!(names.is_sorted_by(|a, b| a < b));
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
