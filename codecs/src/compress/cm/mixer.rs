//! Trust in contexts, learned along a sequence for eight classes and two contexts at a time.

#![allow(
    clippy::inline_always,
    reason = "a call between code for different instruction sets would cost more than the work"
)]

use super::counts::{Handle, LANES, View};
use super::lanes::Lanes;

/// No trust falls below this, so that a context can win it back.
const LEAST: f32 = 1e-6;

/// Trust in all contexts for eight classes, two contexts side by side.
#[derive(Clone, Debug)]
pub(super) struct Mixer {
    pairs: Vec<Pair>,
    decay: f32,
}

#[derive(Clone, Copy, Debug)]
struct Pair {
    weight: Lanes,
    prediction: Lanes,
    /// Added to the counts of the base and of all bases; of the missing neighbour of a last context, what gives nothing.
    prior: Lanes,
    priors: Lanes,
    /// What the weight never falls below.
    least: Lanes,
}

/// The base that came, and which classes are looked at: eight from `first` on.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    pub(super) base: u8,
    pub(super) first: usize,
}

impl Mixer {
    /// All contexts are trusted alike. `priors` are added to their counts.
    pub(super) fn new(priors: &[f32], decay: f64) -> Self {
        let equal = 1.0 / priors.len() as f32;
        let sides = |values: [f32; 2]| Lanes::sides(&[values[0]; LANES], &[values[1]; LANES]);
        let pair = |priors: &[f32]| {
            let second = priors.get(1).copied();
            let of_second = |value| if second.is_some() { value } else { 0.0 };
            Pair {
                weight: sides([equal, of_second(equal)]),
                prediction: Lanes::all(0.0),
                prior: sides([priors[0], second.unwrap_or(0.0)]),
                priors: sides([4.0 * priors[0], second.map_or(1.0, |prior| 4.0 * prior)]),
                least: sides([LEAST, of_second(LEAST)]),
            }
        };
        Self { pairs: priors.chunks(2).map(pair).collect(), decay: decay as f32 }
    }

    /// Bits of the base in the classes, by views of all contexts and what was found in them, in pairs: to an odd number of
    /// contexts comes one in which nothing is found. Then trust goes to the contexts that gave it a high
    /// probability.
    #[inline]
    pub(super) fn step(&mut self, views: &[View], found: &[Handle], at: At) -> [f32; LANES] {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            if has!("avx512f") && has!("avx512vl") && has!("avx512bw") && has!("avx512dq") {
                // SAFETY: the processor has the instructions that the copy was compiled for.
                return unsafe { self.step_avx512(views, found, at) };
            }
            if has!("avx2") && has!("fma") {
                // SAFETY: as above.
                return unsafe { self.step_avx2(views, found, at) };
            }
        }
        self.step_any(views, found, at)
    }

    /// The same arithmetic in wider registers.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
    fn step_avx512(&mut self, views: &[View], found: &[Handle], at: At) -> [f32; LANES] {
        self.step_any(views, found, at)
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn step_avx2(&mut self, views: &[View], found: &[Handle], at: At) -> [f32; LANES] {
        self.step_any(views, found, at)
    }

    #[inline(always)]
    fn step_any(&mut self, views: &[View], found: &[Handle], at: At) -> [f32; LANES] {
        let mut mixed = Lanes::all(0.0);
        let mut trust = Lanes::all(0.0);
        let pairs = views.as_chunks::<2>().0.iter().zip(found.as_chunks::<2>().0);
        for (pair, (views, found)) in self.pairs.iter_mut().zip(pairs) {
            let left = views[0].get(found[0], at.base, at.first);
            let right = views[1].get(found[1], at.base, at.first);
            let [own, total] = [Lanes::sides(&left[0], &right[0]), Lanes::sides(&left[1], &right[1])];
            pair.prediction = (own + pair.prior) / (total + pair.priors);
            mixed = pair.weight.mul_add(pair.prediction, mixed);
            trust = trust + pair.weight;
        }
        let mut total = Lanes::all(0.0);
        for pair in &mut self.pairs {
            pair.weight = pair.weight.power(self.decay) * pair.prediction;
            total = total + pair.weight;
        }
        let scale = Lanes::all(1.0) / total.fold();
        for pair in &mut self.pairs {
            pair.weight = (pair.weight * scale).at_least(pair.least);
        }
        let bits = Lanes::all(0.0) - (mixed.fold() / trust.fold()).log2();
        *bits.0.first_chunk().expect("two halves")
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "the same bits are what is asked for")]
mod tests {
    use super::*;
    use crate::compress::cm::{Context, counts::Counts};

    #[test]
    fn the_context_that_is_right_wins_trust() {
        let table = |base: u8| {
            let mut counts = Counts::new(Context::Bases(2), 8, 100);
            (0..8).for_each(|class| counts.count(3, base, class, 100).unwrap());
            counts
        };
        let (right, wrong) = (table(0), table(3));
        for contexts in [2_usize, 3] {
            let views = [right.view(), wrong.view(), wrong.view(), right.view()];
            let views = &views[..contexts.next_multiple_of(2)];
            let mut found: Vec<Handle> = views.iter().map(|view| view.find(3)).collect();
            found[contexts..].fill(Handle::NOTHING);
            let mut mixer = Mixer::new(&vec![1.0; contexts], 0.8);
            let at = At { base: 0, first: 0 };
            let first = mixer.step(views, &found, at)[0];
            let mut last = first;
            for _ in 0..20 {
                last = mixer.step(views, &found, at)[0];
            }
            let wrongs = contexts as f32 - 1.0;
            let mean = (101.0 / 104.0 + wrongs / 104.0) / (1.0 + wrongs);
            assert!((first + mean.log2()).abs() < 1e-5);
            assert!(last < 0.06);
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn all_instruction_sets_give_the_same_bits() {
        let mut counts = Counts::new(Context::Bases(4), 8, 100);
        for at in 0..2000_u64 {
            counts.count(at * at % 256, (at % 3) as u8, (at % 7) as usize, (at % 50) as u16 + 1).unwrap();
        }
        let views = [counts.view(); 6];
        let mut mixers = vec![Mixer::new(&[1.0, 0.25, 0.0625, 1.0, 0.5, 0.5], 0.8); 3];
        for key in 0..200 {
            let found: Vec<Handle> = (0..6).map(|more| views[0].find((key + more) % 256)).collect();
            let at = At { base: (key % 4) as u8, first: 0 };
            let plain = mixers[0].step_any(&views, &found, at);
            if std::arch::is_x86_feature_detected!("fma") {
                // SAFETY: it was looked for; AVX2 is older.
                assert_eq!(unsafe { mixers[1].step_avx2(&views, &found, at) }, plain);
            }
            assert_eq!(mixers[2].step(&views, &found, at), plain);
        }
    }
}
