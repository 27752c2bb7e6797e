//! Ratios by edits of the cache (positional integrity encoding, see [`crate::cache::policy::pie`]), an approximation.

use super::{Last, Ratio};
use crate::cache::policy::pie::{Edit, Refresh};
use crate::cache::{CacheError, KvCache};
use crate::run::Error;
use crate::run::score::{Scorer, Targets};
use burn::tensor::Tensor;

/// What is computed of the tokens that follow a change.
///
/// A few of them are computed anew, exactly. The others keep the keys and values that they have in the unchanged sequence,
/// moved where the change is an insertion or a deletion of whole tokens; of the predictions of the tokens among them one in
/// `stride` is made, from a state that reads this edited cache and the others of these, and stands for its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pie {
    /// Tokens after the change that are computed anew, at least one.
    pub refresh: usize,
    /// Tokens that one prediction behind those stands for.
    pub stride: usize,
}

/// What is run of a changed sequence; numbers of its tokens.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Layout {
    /// First token that differs.
    first: usize,
    /// First token after those that are computed anew; the last whose prediction is exact.
    exact: usize,
    /// How far tokens after the change have moved.
    shift: isize,
    /// Tokens that are predicted over the edited cache, and how many each stands for.
    samples: Vec<(usize, usize)>,
}

impl Layout {
    /// For a sequence of `own` tokens that becomes one of `other`, the first `shared` and the last `after` alike; nothing where
    /// it would be no less work than to compute everything.
    fn new(pie: Pie, own: usize, other: usize, shared: usize, after: usize) -> Option<Self> {
        let exact = other - after + pie.refresh.max(1).min(after);
        let stride = pie.stride.max(1);
        let samples: Vec<(usize, usize)> = (exact + 1..other)
            .step_by(stride)
            .map(|start| {
                let size = stride.min(other - start);
                (start + size / 2, size)
            })
            .collect();
        let layout = Self { first: shared, exact, shift: other as isize - own as isize, samples };
        (after > 0 && layout.run() + 1 < other - shared).then_some(layout)
    }

    /// Tokens that are run.
    pub(super) fn run(&self) -> usize {
        self.exact - self.first + self.samples.len()
    }

    /// The number in the unchanged sequence of a token after the change.
    fn own(&self, token: usize) -> usize {
        token.saturating_add_signed(-self.shift)
    }

    fn edit(&self) -> Edit {
        let place = |token: usize| token as u32;
        Edit {
            replaced: place(self.first)..place(self.own(self.exact)),
            inserted: place(self.exact - self.first),
        }
    }
}

/// How [`Pie`] computes one changed sequence; nothing where it changes too much: with k-mers an insertion or deletion of
/// another length than a multiple of k changes every token after it.
pub(super) fn layout(pie: Pie, own: &Targets<'_>, other: &Targets<'_>, shared: usize) -> Option<Layout> {
    let (own_tokens, other_tokens) = (own.encoding.len(), other.encoding.len());
    let spelt = |of: &Targets<'_>, token: usize| {
        let span = of.encoding.spans[token];
        (of.encoding.ids[token], of.text[span.start..span.end].to_vec())
    };
    let room = own_tokens.min(other_tokens) - shared;
    let after = (1..=room)
        .take_while(|back| spelt(own, own_tokens - back) == spelt(other, other_tokens - back))
        .count();
    Layout::new(pie, own_tokens, other_tokens, shared, after)
}

/// A change that is to be computed by editing.
pub(super) struct Pending<'t> {
    pub(super) edit: usize,
    pub(super) layout: Layout,
    /// The unchanged sequence up to the last letter that counts.
    pub(super) own: Targets<'t>,
    pub(super) other: &'t Targets<'t>,
    /// State of the last shared token.
    pub(super) last: Last,
}

impl Scorer<'_> {
    /// Computes several changes of the sequence in `cache`. `log_own` are the logarithms of the probabilities of its letters.
    pub(super) fn edited(
        &self,
        cache: &KvCache,
        pending: &[Pending<'_>],
        log_own: &[f64],
        results: &mut [Option<Ratio>],
    ) -> Result<(), Error> {
        // The new tokens, and those that are computed anew: exactly, as nothing behind them is seen.
        let mut begun = Vec::with_capacity(pending.len());
        for Pending { layout, .. } in pending {
            let mut cache = cache.fork();
            cache.truncate(layout.first as u32)?;
            begun.push(cache);
        }
        let fed = |pending: &Pending<'_>| -> Vec<u32> {
            pending.other.encoding.ids[pending.layout.first..pending.layout.exact].to_vec()
        };
        let fed: Vec<Vec<u32>> = pending.iter().map(fed).collect();
        let fed: Vec<&[u32]> = fed.iter().map(Vec::as_slice).collect();
        let states = self.model.extend(&mut begun, &fed)?;
        let lasts: Vec<Tensor<2>> = pending.iter().map(|pending| pending.last.clone()).collect();
        let states = Tensor::cat(lasts.into_iter().chain([states]).collect(), 0);
        // The rows of `states` by what they predict: the first differing token of each, then the others.
        let firsts = pending.iter().enumerate().map(|(p, pending)| (p, pending.layout.first));
        let others = pending.iter().enumerate().flat_map(|(p, pending)| {
            let Layout { first, exact, .. } = pending.layout;
            (first + 1..=exact).map(move |token| (p, token))
        });
        let of: Vec<(usize, usize)> = firsts.chain(others).collect();
        let mut sums = self.predicted(&states, &of, pending)?.into_iter().zip(&of).fold(
            vec![0.0; pending.len()],
            |mut sums, (log, (p, _))| {
                sums[*p] += log;
                sums
            },
        );
        // What the same letters, and those that were replaced, have in the sequence itself.
        for (sum, Pending { layout, own, .. }) in sums.iter_mut().zip(pending) {
            let tokens = layout.first..=layout.own(layout.exact);
            *sum -= tokens.map(|token| letters_of(own, token, log_own)).sum::<f64>();
        }
        // What lies behind them, by a few tokens that read the edited cache.
        let (mut caches, mut tokens, mut positions, mut of) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (p, (Pending { layout, other, own, .. }, begun)) in pending.iter().zip(&begun).enumerate() {
            if layout.samples.is_empty() {
                continue;
            }
            caches.push(edited(cache, layout, own.encoding.len(), begun)?);
            // Each is predicted by the token before it.
            let before: Vec<usize> = layout.samples.iter().map(|(token, _)| token - 1).collect();
            tokens.push(before.iter().map(|&token| other.encoding.ids[token]).collect::<Vec<u32>>());
            positions.push(before.into_iter().map(|token| token as u32).collect());
            of.extend(layout.samples.iter().map(|&(token, _)| (p, token)));
        }
        if !caches.is_empty() {
            let rows: Vec<&[u32]> = tokens.iter().map(Vec::as_slice).collect();
            let states = self.model.extend_at(&mut caches, &rows, &positions)?;
            let weights = pending.iter().flat_map(|pending| &pending.layout.samples);
            for ((log, &(p, token)), &(_, weight)) in
                self.predicted(&states, &of, pending)?.into_iter().zip(&of).zip(weights)
            {
                let Pending { layout, own, .. } = &pending[p];
                sums[p] += weight as f64 * (log - letters_of(own, layout.own(token), log_own));
            }
        }
        for (Pending { edit, layout, other, .. }, log_ratio) in pending.iter().zip(sums) {
            let own = other.encoding.len() - layout.first;
            results[*edit] = Some(Ratio { log_ratio, shared: layout.first, own, run: layout.run() });
        }
        Ok(())
    }

    /// Logarithms of the probabilities of tokens, each predicted by a row.
    fn predicted(
        &self,
        states: &Tensor<2>,
        of: &[(usize, usize)],
        pending: &[Pending<'_>],
    ) -> Result<Vec<f64>, Error> {
        let rows: Vec<usize> = (0..of.len()).collect();
        let letters = self.letters(states, &rows, |row| (pending[of[row].0].other, of[row].1))?;
        Ok(letters.into_iter().map(|letters| letters.iter().sum()).collect())
    }
}

/// The cache of a sequence of `tokens` tokens, edited: what changed comes from `begun`, what follows keeps its keys and values, but
/// for the tokens that predict, which are left open.
fn edited(cache: &KvCache, layout: &Layout, tokens: usize, begun: &KvCache) -> Result<KvCache, CacheError> {
    let mut edited = cache.fork();
    edited.truncate(tokens as u32)?;
    let predicting = layout.samples.iter().map(|(token, _)| {
        let own = layout.own(token - 1) as u32;
        Edit { replaced: own..own + 1, inserted: 1 }
    });
    let edits: Vec<Edit> = std::iter::once(layout.edit()).chain(predicting).collect();
    edited.edit(&edits, Refresh::None)?;
    edited.fill(begun, layout.first as u32..layout.exact as u32)?;
    Ok(edited)
}

/// The sum over the letters of a token.
fn letters_of(targets: &Targets<'_>, token: usize, log: &[f64]) -> f64 {
    let span = targets.encoding.spans[token];
    log[span.start..span.end].iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Every token from the change on is predicted once, or stood for.
        #[test]
        fn every_token_counts_once(
            shared in 1usize..9, replaced in 0usize..4, inserted in 0usize..4, after in 0usize..90,
            refresh in 0usize..40, stride in 1usize..20,
        ) {
            let (own, other) = (shared + replaced + after, shared + inserted + after);
            let Some(layout) = Layout::new(Pie { refresh, stride }, own, other, shared, after) else {
                return Ok(());
            };
            let exact = layout.exact + 1 - shared;
            let stood_for: usize = layout.samples.iter().map(|(_, weight)| weight).sum();
            prop_assert_eq!(exact + stood_for, other - shared);
            prop_assert!(layout.samples.iter().all(|&(token, _)| layout.exact < token && token < other));
            prop_assert!(layout.samples.is_sorted_by(|a, b| a.0 < b.0));
            prop_assert_eq!(layout.own(layout.exact) - shared, replaced + refresh.max(1).min(after));
            prop_assert!(layout.run() + 1 < other - shared, "less work");
        }
    }

    #[test]
    fn little_to_gain_is_computed_exactly() {
        let pie = Pie { refresh: 16, stride: 8 };
        assert_eq!(Layout::new(pie, 100, 100, 10, 0), None, "everything changes");
        assert_eq!(Layout::new(pie, 28, 28, 10, 17), None, "everything would be computed anew");
        let layout = Layout::new(pie, 100, 101, 10, 89).expect("much to gain");
        assert_eq!((layout.run(), layout.samples.len()), (2 - 1 + 1 + 16 + 9, 9));
    }
}
