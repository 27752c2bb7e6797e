use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::merges::Merges;

/// Which tokens may follow which: those that no merge would join across their border.
///
/// A pair is looked at when it is first met, and remembered: a genome meets a small part of all pairs, most of them often.
pub(super) struct Pairs {
    merges: Merges,
    left: Spines,
    right: Spines,
    seen: Seen,
}

/// What is known of pairs. Threads that look at a pair at the same time find the same.
enum Seen {
    /// Two bits a pair, in rows of the first token: known, and valid.
    All { stride: usize, cells: Vec<AtomicU32> },
    /// The pairs met last, by a hash: both tokens in 31 bits each, then the two bits.
    Some(Vec<AtomicU64>),
}

/// Vocabularies up to here have a cell for each pair: 16 MiB.
const ALL: usize = 8192;
/// Pairs remembered of larger ones: 16 MiB.
const SOME: usize = 1 << 21;

impl Pairs {
    pub(super) fn new(merges: Merges) -> Self {
        let size = merges.len();
        let stride = size.div_ceil(16);
        let seen = if size <= ALL {
            Seen::All { stride, cells: zeroed(stride * size) }
        } else {
            Seen::Some(zeroed(SOME))
        };
        let left = Spines::new(&merges, |(left, _)| left);
        let right = Spines::new(&merges, |(_, right)| right);
        Self { merges, left, right, seen }
    }

    /// Whether `b` may follow `a`.
    #[inline(always)]
    pub(super) fn is_valid(&self, a: u32, b: u32) -> bool {
        match &self.seen {
            Seen::All { stride, cells } => {
                let cell = &cells[a as usize * stride + b as usize / 16];
                let bits = cell.load(Ordering::Relaxed) >> (b % 16 * 2);
                if bits & 1 != 0 {
                    return bits & 2 != 0;
                }
                let valid = self.first_across(a, b).is_none();
                cell.fetch_or((1 | u32::from(valid) << 1) << (b % 16 * 2), Ordering::Relaxed);
                valid
            }
            Seen::Some(cells) => {
                let key = u64::from(a) << 33 | u64::from(b) << 2;
                let cell = &cells[(key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 43) as usize];
                let held = cell.load(Ordering::Relaxed);
                if held & 1 != 0 && held & !3 == key {
                    return held & 2 != 0;
                }
                let valid = self.first_across(a, b).is_none();
                cell.store(key | u64::from(valid) << 1 | 1, Ordering::Relaxed);
                valid
            }
        }
    }

    /// The tokens that their own letters give. Merges may be such that others come first: with `A A` before `A AA`, three
    /// letters `A` become `AA A`, never `A AA`. No text gives such tokens, nor what they are halves of.
    pub(super) fn reachable(&self) -> Vec<bool> {
        let mut reachable: Vec<bool> = Vec::with_capacity(self.merges.len());
        for token in 0..self.merges.len() as u32 {
            let own = self.merges.halves(token).is_none_or(|(left, right)| {
                reachable[left as usize]
                    && reachable[right as usize]
                    && self.first_across(left, right) == Some(token)
            });
            reachable.push(own);
        }
        reachable
    }

    pub(super) fn merges(&self) -> &Merges {
        &self.merges
    }

    /// What the first merge makes that crosses the border of `a` and `b` as they come about side by side.
    ///
    /// At any time one part of each stands at the border: of `a` one that ends it, of `b` one that begins it. A product is
    /// at once the part and the rank at which its half was taken in.
    #[cold]
    fn first_across(&self, a: u32, b: u32) -> Option<u32> {
        let (a, b) = (self.right.of(a), self.left.of(b));
        let taken_in = |spine: &[u32], at: usize| spine.get(at + 1).copied().unwrap_or(u32::MAX);
        let (mut i, mut j) = (0, 0);
        loop {
            let (until_a, until_b) = (taken_in(a, i), taken_in(b, j));
            // Of merges of one rank the leftmost comes first: one inside `a` before this one, this one before one inside `b`.
            let across = self.merges.product(a[i], b[j]).filter(|&rank| rank < until_a && rank <= until_b);
            if across.is_some() || until_a.min(until_b) == u32::MAX {
                return across;
            }
            if until_a <= until_b {
                i += 1;
            } else {
                j += 1;
            }
        }
    }
}

fn zeroed<T: Default>(count: usize) -> Vec<T> {
    std::iter::repeat_with(T::default).take(count).collect()
}

/// For each token the parts that stand at one of its ends as it comes about, from the letter to the token itself.
struct Spines {
    starts: Vec<u32>,
    parts: Vec<u32>,
}

impl Spines {
    fn new(merges: &Merges, end: impl Fn((u32, u32)) -> u32) -> Self {
        let (mut starts, mut parts) = (vec![0], Vec::<u32>::new());
        for token in 0..merges.len() as u32 {
            if let Some(halves) = merges.halves(token) {
                // The half is a smaller number: its spine is there.
                let half = end(halves) as usize;
                parts.extend_from_within(starts[half] as usize..starts[half + 1] as usize);
            }
            parts.push(token);
            starts.push(parts.len() as u32);
        }
        Self { starts, parts }
    }

    fn of(&self, token: u32) -> &[u32] {
        &self.parts[self.starts[token as usize] as usize..self.starts[token as usize + 1] as usize]
    }
}
