//! What a strand should not have, beyond what the code rules out.

use super::enzymes::Enzyme;
use crate::dloco::alphabet::{pairing, reverse_complement};

/// GC content of a strand, and of every window of [`WINDOW`] nucleotides.
const GC: [f64; 2] = [0.4, 0.6];
const WINDOW: usize = 50;
/// Nucleotides of a hairpin's stem, and of its loop.
const STEM: usize = 10;
const LOOP: std::ops::RangeInclusive<usize> = 3..=30;
/// A stretch of a primer, on either strand, at which it could anneal.
const ANNEAL: usize = 12;

/// Rules for oligos of one pool.
#[derive(Clone, Debug)]
pub struct Rules {
    run_limit: usize,
    forward: Vec<u8>,
    /// As it stands in the oligo: the reverse complement of the reverse primer.
    reverse: Vec<u8>,
    /// Stretches of the primers.
    stretches: Vec<u32>,
    enzymes: Vec<Enzyme>,
}

/// How often a strand breaks the rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Score {
    /// Runs across the ends of primers.
    pub runs: usize,
    /// Sites of enzymes.
    pub sites: usize,
    /// Stretches shared with a primer.
    pub primers: usize,
    /// Stems of hairpins.
    pub hairpins: usize,
    /// Windows with too much or too little GC, the whole strand being one.
    pub gc: usize,
}

impl Score {
    /// Whether no rule is broken.
    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }
}

impl Rules {
    /// For strands between two primers, given in symbols 5' to 3'.
    pub fn new(run_limit: usize, forward: &[u8], reverse: &[u8], enzymes: Vec<Enzyme>) -> Self {
        let mut stretches = Vec::new();
        for primer in [forward, reverse] {
            stretches.extend(codes(primer, ANNEAL).map(|(_, code)| code));
            stretches.extend(codes(&reverse_complement(primer), ANNEAL).map(|(_, code)| code));
        }
        stretches.sort_unstable();
        stretches.dedup();
        let (forward, reverse) = (forward.to_vec(), reverse_complement(reverse));
        Self { run_limit, forward, reverse, stretches, enzymes }
    }

    /// Whether `strand` breaks no rule. Most that break one have a window of wrong GC content, which is looked at first.
    pub fn keeps(&self, strand: &[u8]) -> bool {
        gc_windows(strand) == 0
            && self.runs(strand) == 0
            && self.enzymes.iter().all(|enzyme| enzyme.count(strand) == 0)
            && self.score(strand).is_clean()
    }

    /// The oligo of a strand.
    pub fn oligo(&self, strand: &[u8]) -> Vec<u8> {
        [&self.forward, strand, &self.reverse].concat()
    }

    /// How often `strand` breaks the rules.
    pub fn score(&self, strand: &[u8]) -> Score {
        Score {
            runs: self.runs(strand),
            sites: self.enzymes.iter().map(|enzyme| enzyme.count(strand)).sum(),
            primers: codes(strand, ANNEAL)
                .filter(|(_, code)| self.stretches.binary_search(code).is_ok())
                .count(),
            hairpins: hairpins(strand),
            gc: gc_windows(strand),
        }
    }

    /// Runs that a primer and the strand beside it make together.
    fn runs(&self, strand: &[u8]) -> usize {
        let run = |symbols: &mut dyn Iterator<Item = &u8>| {
            let first = symbols.next().copied();
            (first, 1 + symbols.take_while(|&&symbol| Some(symbol) == first).count())
        };
        let across = |inside: (Option<u8>, usize), outside: (Option<u8>, usize)| {
            usize::from(inside.0.is_some() && inside.0 == outside.0 && inside.1 + outside.1 > self.run_limit)
        };
        let head = across(run(&mut strand.iter()), run(&mut self.forward.iter().rev()));
        let tail = across(run(&mut strand.iter().rev()), run(&mut self.reverse.iter()));
        head + tail
    }
}

/// Stretches of `length` symbols as numbers, with their starts.
fn codes(strand: &[u8], length: usize) -> impl Iterator<Item = (usize, u32)> {
    let mask = (1_u32 << (2 * length)) - 1;
    let mut code = 0;
    strand.iter().enumerate().filter_map(move |(end, &symbol)| {
        code = (code << 2 | u32::from(symbol)) & mask;
        (end + 1 >= length).then(|| (end + 1 - length, code))
    })
}

/// Pairs of stretches that pair with each other over a loop.
fn hairpins(strand: &[u8]) -> usize {
    let Some(count) = (strand.len() + 1).checked_sub(STEM) else { return 0 };
    let forward: Vec<u32> = codes(strand, STEM).map(|(_, code)| code).collect();
    // The code of the reverse complement of the stretch at each start.
    let mut paired = vec![0_u32; count];
    let mut code = 0_u32;
    for (end, &symbol) in strand.iter().enumerate() {
        code = code >> 2 | u32::from(pairing(symbol)) << (2 * (STEM - 1));
        if end + 1 >= STEM {
            paired[end + 1 - STEM] = code;
        }
    }
    (0..count)
        .map(|start| {
            let first = (start + STEM + LOOP.start()).min(count);
            let last = (start + STEM + LOOP.end() + 1).min(count);
            forward[first..last].iter().filter(|&&code| code == paired[start]).count()
        })
        .sum()
}

fn gc_windows(strand: &[u8]) -> usize {
    let outside = |strong: usize, length: usize| {
        let share = strong as f64 / length as f64;
        usize::from(!(GC[0]..=GC[1]).contains(&share))
    };
    let strong = |symbol: u8| usize::from(symbol >= 2);
    let mut bad = outside(strand.iter().map(|&symbol| strong(symbol)).sum(), strand.len().max(1));
    let mut inside = 0;
    for (end, &symbol) in strand.iter().enumerate() {
        inside += strong(symbol);
        if end + 1 >= WINDOW {
            bad += outside(inside, WINDOW);
            inside -= strong(strand[end + 1 - WINDOW]);
        }
    }
    bad
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dloco::alphabet::to_symbols;

    fn rules() -> Rules {
        let primer = |letters: &[u8]| to_symbols(letters).unwrap();
        let forward = primer(b"ACGTTGCAACGTTGCAACAA");
        let reverse = primer(b"GGTCATTGGTCATTGGTCAT");
        Rules::new(3, &forward, &reverse, vec![Enzyme::find("EcoRI").unwrap()])
    }

    fn score(strand: &str) -> Score {
        rules().score(&to_symbols(strand.as_bytes()).unwrap())
    }

    #[test]
    fn each_rule_sees_its_fault() {
        let clean = "GATCCATGAGTCTAGCGTAC";
        assert!(score(clean).is_clean());
        assert_eq!(score("AACTGATCCATGAGTCTAGCGTAC").runs, 1, "primer ends with AA");
        assert_eq!(score("GATCCATGAATTCGTCTAGCGTAC").sites, 1);
        assert_eq!(score("GATCACGTTGCAACGTGCTAGCGT").primers, 1);
        assert_eq!(
            score("GATCACCAATGACCAAGAGCGTC").primers,
            1,
            "the reverse primer as it stands in the oligo"
        );
        assert_eq!(score("CTGATCGAGGAACATACCTCGATCAG").hairpins, 1, "a stem of ten, a loop of six");
        assert_eq!(score("ATATTATAATCAATAGTAAT").gc, 1);
    }

    #[test]
    fn oligo_is_primer_strand_and_primer_complement() {
        let strand = to_symbols(b"GATC").unwrap();
        let oligo = rules().oligo(&strand);
        assert_eq!(oligo, to_symbols(b"ACGTTGCAACGTTGCAACAAGATCATGACCAATGACCAATGACC").unwrap());
    }
}
