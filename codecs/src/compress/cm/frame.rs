//! Reading frames and the genetic code.

use crate::compress::deflate::base_code;

/// Amino acids of the standard code by codon, the first base in the highest bits, in the order A, C, G, T.
const AMINO: &[u8; 64] = b"KNKNTTTTRSRSIIMIQHQHPPPPRRRRLLLLEDEDAAAAGGGGVVVV*Y*YSSSS*CWCLFLF";

/// The letters of [`AMINO`] as numbers; the stop comes last.
const ORDER: &[u8; 21] = b"ACDEFGHIKLMNPQRSTVWY*";

/// The group of each amino acid: small, polar and acid, basic, aliphatic, aromatic, cysteine, stop.
const GROUPS: [&[u8]; 7] = [b"AGPST", b"DENQ", b"RKH", b"MVLI", b"FYW", b"C", b"*"];

/// Stop codons at random: 3 of 64.
const RANDOM_STOPS: f64 = 3.0 / 64.0;

/// By codon: the amino acid from 0 to 20, and its group from 0 to 6.
pub(super) const CODONS: [(u8, u8); 64] = {
    let mut table = [(0, 0); 64];
    let mut codon = 0;
    while codon < 64 {
        let letter = AMINO[codon];
        let mut amino = 0;
        while ORDER[amino] != letter {
            amino += 1;
        }
        let mut group = 0;
        'found: while group < 7 {
            let mut at = 0;
            while at < GROUPS[group].len() {
                if GROUPS[group][at] == letter {
                    break 'found;
                }
                at += 1;
            }
            group += 1;
        }
        table[codon] = (amino as u8, group as u8);
        codon += 1;
    }
    table
};

const STOP: u8 = 20;

/// The frame of three with the fewest stops, the first of equals, and the share of codons in it that are stops. The last
/// codon does not count: a gene ends with one.
pub(super) fn best(sequence: &[u8]) -> (usize, f64) {
    let stops = |frame: usize| {
        let codons = sequence.get(frame..).unwrap_or_default().chunks_exact(3);
        let before_last = codons.len().saturating_sub(1);
        codons.take(before_last).filter(|codon| amino(codon).is_some_and(|(amino, _)| amino == STOP)).count()
    };
    let frame = (0..3).min_by_key(|&frame| stops(frame)).unwrap_or(0);
    let codons = (sequence.len().saturating_sub(frame) / 3).saturating_sub(1).max(1);
    (frame, stops(frame) as f64 / codons as f64)
}

/// Whether sequences read as genes: in the best frame of the median sequence, stops are less than half as frequent as at
/// random.
pub(super) fn looks_coding<'a>(sequences: impl Iterator<Item = &'a [u8]>) -> bool {
    let mut shares: Vec<f64> = sequences.map(|sequence| best(sequence).1).collect();
    let middle = shares.len() / 2;
    if shares.is_empty() {
        return false;
    }
    let (_, &mut median, _) = shares.select_nth_unstable_by(middle, f64::total_cmp);
    median < RANDOM_STOPS / 2.0
}

/// The amino acid and its group; none where a letter is ambiguous.
pub(super) fn amino(codon: &[u8]) -> Option<(u8, u8)> {
    let mut at = 0;
    for &letter in codon {
        at = at << 2 | usize::from(base_code(letter)?);
    }
    Some(CODONS[at])
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "the same bits are what is asked for")]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_the_standard_one() {
        let letter = |codon: &[u8]| ORDER[usize::from(amino(codon).unwrap().0)];
        let codons = [&b"ATG"[..], b"TGG", b"TAA", b"TAG", b"TGA", b"TGT", b"GGG", b"AAA", b"TTT"];
        assert_eq!(codons.map(letter), *b"MW***CGKF");
        assert_eq!(amino(b"TGA").unwrap().1, 6);
        assert_eq!(amino(b"CTN"), None);
    }

    #[test]
    fn frame_has_the_fewest_stops() {
        assert_eq!(best(b"ATGGCCGCCTAA").0, 0);
        assert_eq!(best(b"CATGAAATAAGCC"), (0, 0.0));
        let (frame, share) = best(b"TAATAATAATAATAA");
        assert_eq!((frame, share), (1, 0.0), "frame 0 has four stops before its last codon, frame 1 none");
        assert_eq!(best(b""), (0, 0.0));
    }
}
