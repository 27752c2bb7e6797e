use rayon::prelude::*;

use super::counts::Counts;

/// Between lines.
const BREAK: u16 = u16::MAX;
/// Where the second half of a product was.
const HOLE: u16 = u16::MAX - 1;

/// Tokens of a part that one thread looks at.
const PART: usize = 1 << 20;
/// Tokens that are looked at together.
const BLOCK: usize = 64;

/// The text as tokens, in parts of whole lines.
pub(super) struct Lines {
    first: u16,
    parts: Vec<Part>,
    bases: u64,
}

/// Lines with a break before the first and after each, and then holes, so that a block and its next token can always be read.
struct Part {
    tokens: Vec<u16>,
    holes: usize,
}

/// How often each token was before and after the places of a merge.
pub(super) struct Neighbours {
    pub(super) before: Vec<u64>,
    pub(super) after: Vec<u64>,
    pub(super) merges: u64,
}

impl Lines {
    /// `first` is the id of the first letter.
    pub(super) fn new(first: u16) -> Self {
        Self { first, parts: Vec::new(), bases: 0 }
    }

    pub(super) fn bases(&self) -> u64 {
        self.bases
    }

    pub(super) fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| 2 * part.tokens.capacity() as u64).sum()
    }

    /// Adds a line of `A C G T`.
    pub(super) fn push(&mut self, line: &[u8]) {
        if self.parts.last().is_none_or(|part| part.tokens.len() + line.len() + 1 > PART) {
            if let Some(part) = self.parts.last_mut() {
                part.close();
            }
            let mut tokens = Vec::with_capacity(PART.max(line.len() + 2) + 2 * BLOCK);
            tokens.push(BREAK);
            self.parts.push(Part { tokens, holes: 0 });
        }
        let part = self.parts.last_mut().expect("one was added when there was none");
        let code = |&letter: &u8| match letter {
            b'A' => 0,
            b'C' => 1,
            b'G' => 2,
            _ => 3,
        };
        part.tokens.extend(line.iter().map(|letter| self.first + code(letter)));
        part.tokens.push(BREAK);
        self.bases += line.len() as u64;
    }

    /// Counts the pairs of letters; before any merge.
    pub(super) fn count_pairs(&mut self, counts: &mut Counts) {
        if let Some(part) = self.parts.last_mut() {
            part.close();
        }
        let first = self.first;
        let count = |part: &Part| {
            let mut pairs = [[0_u64; 4]; 4];
            for pair in part.tokens.windows(2) {
                if let (a @ 0..4, b @ 0..4) = (pair[0].wrapping_sub(first), pair[1].wrapping_sub(first)) {
                    pairs[usize::from(a)][usize::from(b)] += 1;
                }
            }
            pairs
        };
        let sum = |mut a: [[u64; 4]; 4], b: [[u64; 4]; 4]| {
            a.iter_mut().flatten().zip(b.iter().flatten()).for_each(|(a, b)| *a += b);
            a
        };
        counts.add(first, &self.parts.par_iter().map(count).reduce(|| [[0; 4]; 4], sum));
    }

    /// Merges a pair everywhere, in each line from the left. `size` is the vocabulary's.
    pub(super) fn merge(&mut self, a: u16, b: u16, product: u16, size: usize) -> Neighbours {
        let none = || Neighbours { before: vec![0; size], after: vec![0; size], merges: 0 };
        let fold = |mut around: Neighbours, part: &mut Part| {
            part.merge(a, b, product, &mut around);
            around
        };
        self.parts.par_iter_mut().fold(none, fold).reduce(none, Neighbours::sum)
    }
}

impl Neighbours {
    fn sum(mut self, other: Self) -> Self {
        self.before.iter_mut().zip(other.before).for_each(|(a, b)| *a += b);
        self.after.iter_mut().zip(other.after).for_each(|(a, b)| *a += b);
        self.merges += other.merges;
        self
    }
}

impl Part {
    /// No line follows.
    fn close(&mut self) {
        let length = self.tokens.len().next_multiple_of(BLOCK) + BLOCK;
        if self.tokens.last() == Some(&BREAK) {
            self.tokens.resize(length, HOLE);
        }
    }

    fn merge(&mut self, a: u16, b: u16, product: u16, around: &mut Neighbours) {
        let before = around.merges;
        let mut block = 0;
        while block + BLOCK < self.tokens.len() {
            if may_hold(&self.tokens[block..=block + BLOCK], a, b) {
                self.merge_block(block, a, b, product, around);
            }
            block += BLOCK;
        }
        self.holes += (around.merges - before) as usize;
        // Holes cost as much to look at as tokens.
        if 8 * self.holes > self.tokens.len() {
            self.tokens.retain(|&token| token != HOLE);
            self.holes = 0;
            self.close();
        }
    }

    /// Merges pairs whose first token is in a block.
    fn merge_block(&mut self, block: usize, a: u16, b: u16, product: u16, around: &mut Neighbours) {
        let tokens = &mut self.tokens[..];
        for at in block..block + BLOCK {
            if tokens[at] != a {
                continue;
            }
            // A break ends every line, so that both ways lead to something.
            let step = |tokens: &[u16], mut at: usize| {
                while tokens[at] == HOLE {
                    at += 1;
                }
                at
            };
            let second = step(tokens, at + 1);
            if tokens[second] != b {
                continue;
            }
            let after = tokens[step(tokens, second + 1)];
            let mut left = at - 1;
            while tokens[left] == HOLE {
                left -= 1;
            }
            let before = tokens[left];
            tokens[at] = product;
            tokens[second] = HOLE;
            around.merges += 1;
            if before != BREAK {
                around.before[usize::from(before)] += 1;
            }
            if after != BREAK {
                around.after[usize::from(after)] += 1;
            }
        }
    }
}

/// Whether one of the first 64 of 65 tokens is `a`, and the one after it `b` or a hole.
#[inline]
fn may_hold(tokens: &[u16], a: u16, b: u16) -> bool {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512bw") {
        // SAFETY: the processor has what the function is compiled for.
        return unsafe { may_hold_avx512(tokens, a, b) };
    }
    may_hold_anywhere(tokens, a, b)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn may_hold_avx512(tokens: &[u16], a: u16, b: u16) -> bool {
    may_hold_anywhere(tokens, a, b)
}

#[inline(always)]
fn may_hold_anywhere(tokens: &[u16], a: u16, b: u16) -> bool {
    let (first, second) = (&tokens[..BLOCK], &tokens[1..=BLOCK]);
    let hit =
        |(&first, &second): (&u16, &u16)| u16::from(first == a) & u16::from(second == b || second == HOLE);
    first.iter().zip(second).map(hit).fold(0, |any, hit| any | hit) != 0
}
