//! Ways to go on to a syndrome, and the numbers of words, which are sums of these.

use super::times;
use crate::dloco::value::{LIMBS, Value, add, sub};

/// Enough for the words of 85 symbols.
pub(super) type Count = [u64; 3];

/// How many ways lead from a run of a symbol to a syndrome of the symbols to follow.
///
/// To add a symbol `a` to every symbol leaves the runs as they are and adds `a` times the sum of their columns to the syndrome.
/// So ways after a symbol are those after 0 to another syndrome, and one symbol's are enough: a quarter of the table, which
/// then fits a second-level cache.
#[derive(Clone, Debug)]
pub(super) struct Ways {
    run_limit: usize,
    syndromes: usize,
    /// By position: multiples of the column by the symbols.
    multiples: Vec<[u8; 4]>,
    /// By position: the same of the sum of its column and all that follow.
    joint: Vec<[u8; 4]>,
    /// By position from the last, run less one and syndrome. A run too long has a row as well, of zeros.
    counts: Vec<Count>,
}

impl Ways {
    pub(super) fn new(run_limit: usize, columns: &[u8], syndromes: usize) -> Self {
        let multiples_of = |column: u8| std::array::from_fn(|symbol| times(symbol as u8, column));
        let mut joint: Vec<[u8; 4]> = columns
            .iter()
            .rev()
            .scan(0, |sum, column| {
                *sum ^= column;
                Some(multiples_of(*sum))
            })
            .collect();
        joint.reverse();
        let block = (run_limit + 1) * syndromes;
        let mut counts = vec![[0; 3]; columns.len() * block];
        for run in 0..run_limit {
            counts[run * syndromes] = [1, 0, 0];
        }
        for follow in 1..columns.len() {
            let (before, here) = counts.split_at_mut(follow * block);
            let before = &before[(follow - 1) * block..];
            let joint = &joint[columns.len() - follow];
            for run in 0..run_limit {
                for syndrome in 0..syndromes {
                    let same = before[(run + 1) * syndromes + syndrome];
                    let others = joint[1..].iter().map(|joint| &before[syndrome ^ usize::from(*joint)]);
                    here[run * syndromes + syndrome] = others.fold(same, |sum, way| add(&sum, way));
                }
            }
        }
        let multiples = columns.iter().map(|&column| multiples_of(column)).collect();
        Self { run_limit, syndromes, multiples, joint, counts }
    }

    /// By position: multiples of the column by the symbols.
    pub(super) fn multiples(&self) -> &[[u8; 4]] {
        &self.multiples
    }

    /// Words of syndrome zero.
    pub(super) fn words(&self) -> Value {
        let first = &self.counts[self.counts.len() - (self.run_limit + 1) * self.syndromes..];
        let joint = self.joint[0];
        widen(&joint.iter().fold([0; 3], |sum, &joint| add(&sum, &first[usize::from(joint)])))
    }

    /// Words of syndrome zero before `word`; none if it has too long a run.
    pub(super) fn rank(&self, word: &[u8]) -> Option<Value> {
        let (mut sum, mut last, mut run, mut rest) = ([0; 3], u8::MAX, 0, 0_u8);
        for (at, &symbol) in word.iter().enumerate() {
            let symbol = symbol & 3;
            let (rows, joint) = (self.rows(at), &self.joint[at]);
            // All three are added, those that are not smaller from the row of zeros: cheaper than to guess how many are.
            for smaller in 0..3 {
                let after = if smaller == last { run + 1 } else { 0 };
                let row = if smaller < symbol { after } else { self.run_limit };
                let need = usize::from(rest ^ joint[usize::from(smaller)]);
                sum = add(&sum, &rows[row * self.syndromes + need]);
            }
            run = if symbol == last { run + 1 } else { 0 };
            if run == self.run_limit {
                return None;
            }
            last = symbol;
            rest ^= self.multiples[at][usize::from(symbol)];
        }
        Some(widen(&sum))
    }

    /// The word with so many before it.
    pub(super) fn unrank(&self, index: &Value, word: &mut [u8]) {
        let mut index: Count = *index.0.first_chunk().expect("ten limbs");
        let (mut last, mut run, mut rest) = (u8::MAX, 0, 0_u8);
        for (at, letter) in word.iter_mut().enumerate() {
            let (rows, joint) = (self.rows(at), &self.joint[at]);
            let mut symbol = 0;
            let mut left = index;
            let mut below = [0; 3];
            for smaller in 0..3 {
                let after = if smaller == last { run + 1 } else { 0 };
                let need = usize::from(rest ^ joint[usize::from(smaller)]);
                below = add(&below, &rows[after * self.syndromes + need]);
                let (beyond, is_before) = sub(&index, &below);
                if !is_before {
                    (symbol, left) = (smaller + 1, beyond);
                }
            }
            index = left;
            run = if symbol == last { run + 1 } else { 0 };
            (*letter, last) = (symbol, symbol);
            rest ^= self.multiples[at][usize::from(symbol)];
        }
    }

    fn rows(&self, position: usize) -> &[Count] {
        let block = (self.run_limit + 1) * self.syndromes;
        &self.counts[(self.joint.len() - 1 - position) * block..][..block]
    }
}

fn widen(count: &Count) -> Value {
    let mut limbs = [0; LIMBS];
    limbs[..3].copy_from_slice(count);
    Value(limbs)
}
