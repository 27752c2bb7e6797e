//! The place of a word as a sum of numbers that its bits choose.
//!
//! With `k` symbols to follow, what position `i` adds is `s W(k, 1)`, less `W(k, 1) - W(k, r + 1)` if the symbol before is
//! smaller than `s` and ends a run of `r`. So each position adds five numbers or leaves them out: `W(k, 1)` and `2 W(k, 1)`
//! for the two bits of `s`, and the deficit of `r = 1` and its growth to `r = 2` and `r = 3`. No addition waits for another:
//! eight positions are added side by side, in limbs with room for all carries, which are carried once at the end.

use super::params::{MAX_LENGTH, RunLimit};
use super::planes::{Marks, TERMS};
use super::value::{Value, with_constant};
use super::weights::Weights;

/// Bits of a limb: with the sign, three times the sum over all positions fits into 64.
const LIMB_BITS: usize = 52;
/// Limbs of the largest number.
const LIMBS: usize = (2 * MAX_LENGTH).div_ceil(LIMB_BITS);

/// One limb at eight positions, as numbers with a sign.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Eight([i64; 8]);

/// The numbers of a code by position.
#[derive(Clone, Debug)]
pub(super) struct Places {
    segments: Vec<Segment>,
}

/// Consecutive blocks of eight positions whose numbers have the same count of limbs: it becomes smaller from left to right.
#[derive(Clone, Debug)]
struct Segment {
    limbs: usize,
    /// By block, then limb, then term.
    table: Vec<[Eight; TERMS]>,
}

impl Places {
    pub(super) fn new(weights: &Weights, run_limit: RunLimit, length: usize) -> Self {
        let mut segments: Vec<Segment> = Vec::new();
        for first in (0..length).step_by(8) {
            let bits = weights.get(length - 1 - first, 1).mul_small(4).bits();
            let limbs = bits.div_ceil(LIMB_BITS);
            if segments.last().is_none_or(|segment| segment.limbs != limbs) {
                segments.push(Segment { limbs, table: Vec::new() });
            }
            let mut block = vec![[Eight([0; 8]); TERMS]; limbs];
            for (lane, position) in (first..length.min(first + 8)).enumerate() {
                let follow = length - 1 - position;
                let one = weights.get(follow, 1);
                let after = |run: usize| weights.get(follow, run.min(run_limit.get()) + 1);
                let terms = [
                    (one, 1),
                    (one.mul_small(2), 1),
                    (one.sub(&after(1)), -1),
                    (after(1).sub(&after(2)), -1),
                    (after(2).sub(&after(3)), -1),
                ];
                for (limb, row) in block.iter_mut().enumerate() {
                    for (eight, (number, sign)) in row.iter_mut().zip(&terms) {
                        eight.0[lane] = sign * number.bits_at(limb * LIMB_BITS, LIMB_BITS) as i64;
                    }
                }
            }
            segments.last_mut().expect("pushed above").table.extend(block);
        }
        Self { segments }
    }

    /// The place of the word with these marks.
    #[inline]
    pub(super) fn of(&self, marks: &Marks) -> Value {
        let mut sums = [Eight([0; 8]); LIMBS];
        let mut block = 0;
        for segment in &self.segments {
            with_constant!(segment.limbs, L in [1 2 3 4 5 6 7 8 9 10 11 12] => block = add::<L>(segment, block, marks, &mut sums));
        }
        let limbs = self.segments[0].limbs;
        let mut place = Value::ZERO;
        let mut carry = 0;
        for (limb, sum) in sums[..limbs].iter().enumerate() {
            let sum = carry + sum.0.iter().sum::<i64>();
            place.put_bits(limb * LIMB_BITS, sum as u64 & ((1 << LIMB_BITS) - 1));
            carry = sum >> LIMB_BITS;
        }
        place
    }
}

/// Adds a segment, and gives the block after it.
#[inline]
fn add<const L: usize>(segment: &Segment, first: usize, marks: &Marks, sums: &mut [Eight; LIMBS]) -> usize {
    let (blocks, _) = segment.table.as_chunks::<L>();
    let sums = sums.first_chunk_mut().expect("a place has no more limbs");
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::is_x86_feature_detected as has;
        if has!("avx512f") {
            // SAFETY: the instructions are there.
            unsafe { avx512::add(blocks, first, marks, sums) };
            return first + blocks.len();
        }
        if has!("avx2") {
            // SAFETY: the instructions are there.
            unsafe { add_avx2(blocks, first, marks, sums) };
            return first + blocks.len();
        }
    }
    add_any(blocks, first, marks, sums);
    first + blocks.len()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn add_avx2<const L: usize>(
    blocks: &[[[Eight; TERMS]; L]],
    first: usize,
    marks: &Marks,
    sums: &mut [Eight; L],
) {
    add_any(blocks, first, marks, sums);
}

/// By four bits, all ones in the lanes of those that are set.
const CHOSEN: [[i64; 4]; 16] = {
    let mut chosen = [[0; 4]; 16];
    let mut bits = 0;
    while bits < 16 {
        let mut lane = 0;
        while lane < 4 {
            chosen[bits][lane] = -((bits >> lane & 1) as i64);
            lane += 1;
        }
        bits += 1;
    }
    chosen
};

#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled anew for each instruction set")]
#[allow(clippy::needless_range_loop, reason = "loops over lanes, which become one instruction or two")]
fn add_any<const L: usize>(
    blocks: &[[[Eight; TERMS]; L]],
    first: usize,
    marks: &Marks,
    sums: &mut [Eight; L],
) {
    let mut totals = *sums;
    for (at, block) in blocks.iter().enumerate() {
        for (term, mark) in marks.of_block(first + at).into_iter().enumerate() {
            for half in 0..2 {
                let chosen = &CHOSEN[usize::from(mark >> (4 * half) & 15)];
                for limb in 0..L {
                    for lane in 0..4 {
                        totals[limb].0[4 * half + lane] +=
                            block[limb][term].0[4 * half + lane] & chosen[lane];
                    }
                }
            }
        }
    }
    *sums = totals;
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::{_mm512_load_epi64, _mm512_mask_add_epi64, _mm512_store_epi64};

    use super::{Eight, Marks, TERMS};

    #[target_feature(enable = "avx512f")]
    pub(super) fn add<const L: usize>(
        blocks: &[[[Eight; TERMS]; L]],
        first: usize,
        marks: &Marks,
        sums: &mut [Eight; L],
    ) {
        // SAFETY: an `Eight` is 64 bytes, aligned to as many.
        let load = |eight: &Eight| unsafe { _mm512_load_epi64(eight.0.as_ptr()) };
        let mut totals = sums.each_ref().map(load);
        for (at, block) in blocks.iter().enumerate() {
            for (term, mark) in marks.of_block(first + at).into_iter().enumerate() {
                for (total, row) in totals.iter_mut().zip(block) {
                    *total = _mm512_mask_add_epi64(*total, mark, *total, load(&row[term]));
                }
            }
        }
        for (sum, total) in sums.iter_mut().zip(totals) {
            // SAFETY: as above.
            unsafe { _mm512_store_epi64(sum.0.as_mut_ptr(), total) };
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::planes::Planes;
    use super::*;

    fn sums<const L: usize>(
        add: impl Fn(&[[[Eight; TERMS]; L]], usize, &Marks, &mut [Eight; L]),
        segment: &Segment,
        first: usize,
        marks: &Marks,
    ) -> [[i64; 8]; L] {
        let mut sums = [Eight([1; 8]); L];
        add(segment.table.as_chunks::<L>().0, first, marks, &mut sums);
        sums.map(|eight| eight.0)
    }

    proptest! {
        #[test]
        fn all_instruction_sets_give_the_same_sums(run_limit in 1_usize..=3, word in prop::collection::vec(0_u8..4, 3..=300)) {
            let run_limit = RunLimit::new(run_limit).unwrap();
            let places = Places::new(&Weights::new(run_limit, word.len()), run_limit, word.len());
            // Even and odd symbols in turn: no run is too long.
            let word: Vec<u8> = word.iter().enumerate().map(|(at, &symbol)| if at % 2 == 0 { symbol & 2 } else { symbol | 1 }).collect();
            let marks = Planes::new(&word).marks(run_limit).unwrap();
            let mut first = 0;
            for segment in &places.segments {
                with_constant!(segment.limbs, L in [1 2 3 4 5 6 7 8 9 10 11 12] => {
                    let plain = sums::<L>(add_any, segment, first, &marks);
                    #[cfg(target_arch = "x86_64")]
                    {
                        use std::arch::is_x86_feature_detected as has;
                        if has!("avx2") {
                            // SAFETY: the instructions are there.
                            let add = |blocks: &_, first, marks: &_, sums: &mut _| unsafe { add_avx2(blocks, first, marks, sums) };
                            prop_assert_eq!(sums::<L>(add, segment, first, &marks), plain);
                        }
                        if has!("avx512f") {
                            // SAFETY: the instructions are there.
                            let add = |blocks: &_, first, marks: &_, sums: &mut _| unsafe { avx512::add(blocks, first, marks, sums) };
                            prop_assert_eq!(sums::<L>(add, segment, first, &marks), plain);
                        }
                    }
                    first += segment.table.len() / L;
                });
            }
        }
    }
}
