//! Primers at the ends of oligos, found through errors.

use crate::dloco::alphabet::reverse_complement;

/// The built-in forward primer: half of it G and C, no run of three, no self-complementary stretch of four.
pub const FORWARD_PRIMER: &str = "TAGTCAGGTGGAGGAATCAG";
/// The built-in reverse primer, at an edit distance of 14 from the other and its complement.
pub const REVERSE_PRIMER: &str = "ACCAACGAAGAACTCCTCTC";

/// Share of a primer's letters that may be edited. Unrelated sequence of the length of the built-in ones differs in about
/// half of them, and so large an allowance still finds nine of ten primers at one error in nine letters.
const ALLOWANCE: f64 = 0.3;
/// Letters before the primer, or missing of it, that a read may begin with.
const SLACK: usize = 12;

/// Looks for primers at the ends of reads.
#[derive(Clone, Debug)]
pub(super) struct Primers {
    forward: Pattern,
    /// The reverse primer, as the other strand begins.
    reverse: Pattern,
}

impl Primers {
    /// In symbols, 5' to 3'; either may be empty.
    pub(super) fn new(forward: &[u8], reverse: &[u8]) -> Self {
        Self { forward: Pattern::new(forward), reverse: Pattern::new(reverse) }
    }

    /// The strands that a read may hold, without primers, in the direction in which they were written: the likelier first.
    pub(super) fn trim(&self, read: &[u8]) -> Vec<Vec<u8>> {
        let complement = reverse_complement(read);
        let mut found: Vec<(usize, Vec<u8>)> = [(read, &complement[..]), (&complement[..], read)]
            .into_iter()
            .filter_map(|(sense, antisense)| {
                let (edits_before, start) = self.forward.find(sense)?;
                let (edits_after, end) = self.reverse.find(antisense)?;
                let end = sense.len().checked_sub(end).filter(|&end| end > start)?;
                Some((edits_before + edits_after, sense[start..end].to_vec()))
            })
            .collect();
        found.sort_by_key(|(edits, _)| *edits);
        // Of two orientations with primers, one is far likelier; without primers there is nothing to tell them by.
        if found.len() == 2 && found[0].0 + 4 <= found[1].0 {
            found.pop();
        }
        found.into_iter().map(|(_, strand)| strand).collect()
    }
}

/// One primer for a search by bit-parallel dynamic programming (Myers 1999).
#[derive(Clone, Debug)]
struct Pattern {
    length: usize,
    /// By symbol: where the pattern has it.
    places: [u64; 4],
}

impl Pattern {
    fn new(primer: &[u8]) -> Self {
        let mut places = [0; 4];
        for (position, &symbol) in primer.iter().enumerate() {
            places[usize::from(symbol & 3)] |= 1 << position;
        }
        Self { length: primer.len(), places }
    }

    /// Edits of the best match near the beginning of `text`, and where it ends; of equal matches the one that ends where the
    /// primer would without errors, or next to it.
    fn find(&self, text: &[u8]) -> Option<(usize, usize)> {
        if self.length == 0 {
            return Some((0, 0));
        }
        let (mut up, mut down) = (u64::MAX, 0_u64);
        let mut edits = self.length;
        let mut best: Option<(usize, usize, usize)> = None;
        for (position, &symbol) in text.iter().take(self.length + SLACK).enumerate() {
            let same = self.places[usize::from(symbol & 3)];
            let diagonal = (((same & up).wrapping_add(up)) ^ up) | same | down;
            let right = down | !(diagonal | up);
            let left = diagonal & up;
            let last = self.length - 1;
            edits = edits + (right >> last & 1) as usize - (left >> last & 1) as usize;
            let (right, left) = (right << 1, left << 1);
            up = left | !(diagonal | right);
            down = right & diagonal;
            let end = position + 1;
            let candidate = (edits, end.abs_diff(self.length), end);
            if best.is_none_or(|best| candidate < best) {
                best = Some(candidate);
            }
        }
        let (edits, _, end) = best?;
        (edits as f64 <= ALLOWANCE * self.length as f64).then_some((edits, end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dloco::alphabet::to_symbols;

    fn primers() -> Primers {
        let symbols = |primer: &str| to_symbols(primer.as_bytes()).unwrap();
        Primers::new(&symbols(FORWARD_PRIMER), &symbols(REVERSE_PRIMER))
    }

    fn oligo(strand: &[u8]) -> Vec<u8> {
        let reverse = reverse_complement(&to_symbols(REVERSE_PRIMER.as_bytes()).unwrap());
        [&to_symbols(FORWARD_PRIMER.as_bytes()).unwrap(), strand, &reverse].concat()
    }

    #[test]
    fn strand_is_found_in_both_orientations_and_through_errors() {
        let strand = to_symbols(b"GATCCATGAGTCTAGCGTACGATCCATGAGTCTAGCGTAC").unwrap();
        let clean = oligo(&strand);
        assert_eq!(primers().trim(&clean), std::slice::from_ref(&strand));
        assert_eq!(primers().trim(&reverse_complement(&clean)), std::slice::from_ref(&strand));
        let mut noisy = clean.clone();
        noisy[4] ^= 1;
        noisy.remove(9);
        noisy.insert(14, 2);
        noisy.drain(..2);
        assert_eq!(primers().trim(&noisy), std::slice::from_ref(&strand));
        let longer = [&[0, 1, 3, 3, 2][..], &clean].concat();
        assert_eq!(primers().trim(&longer), std::slice::from_ref(&strand));
        assert!(primers().trim(&strand).is_empty(), "no primers");
        assert_eq!(Primers::new(&[], &[]).trim(&strand), [strand.clone(), reverse_complement(&strand)]);
    }

    #[test]
    fn short_and_empty_reads_have_no_strand() {
        for length in 0..45 {
            let read: Vec<u8> = oligo(&[]).into_iter().cycle().take(length).collect();
            primers().trim(&read);
        }
        assert!(primers().trim(&[]).is_empty());
    }
}
