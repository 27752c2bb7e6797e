//! How much less probable a decoder finds a changed sequence.

use super::Error;
use super::kmers::{Kmers, law};
use super::reading::PAGE;
use super::score::{Scorer, Targets, encode, select};
use crate::cache::{KvCache, PagePool, Pipeline};
use crate::family::generator::Generator;
use crate::family::values;
use burn::tensor::Tensor;
use kilobase_data::batch::PackedBatch;
use kilobase_data::tokenize::{Encoding, Tokenizer};

mod pie;

pub use pie::Pie;

use pie::{Layout, Pending};

/// The last state of a token, `[1, hidden]`.
type Last = Tensor<2>;

/// Added to the alternate's probability by the GENERator authors' script.
const AUTHOR_EPSILON: f64 = 1e-10;

/// The GENERator authors' score of substitutions: `ln(p(ref) / (p(alt) + 1e-10))`, the probabilities of the base that comes
/// after `context`. Positive where the alternate is less probable.
///
/// As in their script, `context` is what lies upstream (they take up to 8,192 bases); `N` at its beginning is dropped, and
/// then as many bases as leave whole k-mers. One forward pass serves all alternates.
pub fn author_score(
    model: &Generator,
    tokenizer: &dyn Tokenizer,
    context: &[u8],
    reference: u8,
    alternates: &[u8],
) -> Result<Vec<f64>, Error> {
    let site = Site { context, reference, alternates };
    Ok(author_scores(model, tokenizer, &[site])?.remove(0))
}

/// A base and what may stand in its place.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// Upper-case bases before it.
    pub context: &'a [u8],
    /// The base, one of A, C, G and T.
    pub reference: u8,
    /// Others.
    pub alternates: &'a [u8],
}

/// [`author_score`] of several sites in one pass.
pub fn author_scores(
    model: &Generator,
    tokenizer: &dyn Tokenizer,
    sites: &[Site<'_>],
) -> Result<Vec<Vec<f64>>, Error> {
    let kmers = Kmers::new(tokenizer).ok_or(Error::NoKmers)?;
    let encodings: Vec<Encoding> = sites
        .iter()
        .enumerate()
        .map(|(index, site)| {
            let known = site.context.iter().position(|&base| base != b'N').unwrap_or(site.context.len());
            let context = &site.context[known..];
            encode(tokenizer, index, &context[context.len() % kmers.k()..])
        })
        .collect::<Result<_, _>>()?;
    let batch = PackedBatch::from_encodings(&encodings);
    let ends: Vec<usize> = batch.spans().map(|span| span.end - 1).collect();
    let states = select(model.state(&batch, model.layers()), &ends);
    let logits = values(model.logits(states).ok_or(Error::NoHead)?);
    let scores = logits.chunks_exact(logits.len() / sites.len()).zip(sites).map(|(row, site)| {
        let law = kmers.law(&law(row));
        let p = |base: u8| kmers.beginnings(&law, &[base])[0];
        let of = |&alternate: &u8| (p(site.reference) / (p(alternate) + AUTHOR_EPSILON)).ln();
        site.alternates.iter().map(of).collect()
    });
    Ok(scores.collect())
}

/// A stretch of a sequence and what takes its place: a substitution, an insertion, a deletion, or all at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Where the stretch starts, from 0.
    pub at: usize,
    /// Bases of the stretch.
    pub length: usize,
    /// What takes their place, upper-case.
    pub alternate: Vec<u8>,
    /// Letters after the stretch whose probabilities count as well, or as many as there are.
    pub right: usize,
}

impl Edit {
    /// The sequence up to the last letter that counts, and the same with the change.
    fn texts(&self, sequence: &[u8]) -> (usize, Vec<u8>) {
        let after = self.at + self.length;
        let end = sequence.len().min(after + self.right);
        (end, [&sequence[..self.at], &self.alternate, &sequence[after..end]].concat())
    }
}

/// Logarithms of probabilities of two sequences that share their beginning.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// `ln P(changed) - ln P(sequence)`, both up to the last letter that counts: negative where the change is less probable.
    pub log_ratio: f64,
    /// Tokens before the change, which were computed once for all edits.
    pub shared: usize,
    /// Tokens from the change on.
    pub own: usize,
    /// How many of those were computed for this edit: all of them, and the ratio is exact, or fewer by [`Pie`].
    pub run: usize,
}

impl Ratio {
    /// Whether nothing was approximated.
    pub fn is_exact(&self) -> bool {
        self.run == self.own
    }
}

impl Scorer<'_> {
    /// Log-likelihood ratio of each edit of one sequence (upper-case letters), both of no more tokens than the context.
    ///
    /// The sequence goes through the model once. Each edit starts from a fork of its cache at the first token that differs,
    /// which is exact: nothing before it sees it. Only what comes after is computed anew, several edits at a time.
    pub fn ratios(&self, sequence: &[u8], edits: &[Edit]) -> Result<Vec<Ratio>, Error> {
        self.ratios_by(sequence, edits, None)
    }

    /// The same with less work, approximately: what follows an edit is read from the cache of the sequence itself, edited.
    /// Edits that leave too little as it was are computed exactly.
    pub fn edited_ratios(&self, sequence: &[u8], edits: &[Edit], pie: Pie) -> Result<Vec<Ratio>, Error> {
        self.ratios_by(sequence, edits, Some(pie))
    }

    fn ratios_by(&self, sequence: &[u8], edits: &[Edit], pie: Option<Pie>) -> Result<Vec<Ratio>, Error> {
        let kmers = Kmers::new(self.tokenizer);
        let (ends, changed): (Vec<usize>, Vec<Vec<u8>>) =
            edits.iter().map(|edit| edit.texts(sequence)).unzip();
        let own = encode(self.tokenizer, 0, sequence)?;
        let others: Vec<Encoding> =
            changed.iter().map(|text| encode(self.tokenizer, 0, text)).collect::<Result<_, _>>()?;
        for encoding in others.iter().chain([&own]) {
            if encoding.len() > self.reading.context {
                return Err(Error::TooLong { tokens: encoding.len(), context: self.reading.context });
            }
        }
        let targets = |text, encoding| Targets { index: 0, text, encoding, kmers: kmers.as_ref() };
        let own_targets = targets(sequence, &own);
        let other_targets: Vec<Targets<'_>> =
            changed.iter().zip(&others).map(|(text, encoding)| targets(text, encoding)).collect();
        let shared: Vec<usize> = other_targets.iter().map(|other| own_targets.shared(other)).collect();
        let own_ends: Vec<Encoding> = match pie {
            Some(_) => {
                let encode = |end: &usize| encode(self.tokenizer, 0, &sequence[..*end]);
                ends.iter().map(encode).collect::<Result<_, _>>()?
            }
            None => Vec::new(),
        };
        let own_of = |edit: usize| targets(&sequence[..ends[edit]], &own_ends[edit]);
        let mut layouts: Vec<Option<Layout>> = (0..edits.len())
            .map(|edit| pie::layout(pie?, &own_of(edit), &other_targets[edit], shared[edit]))
            .collect();
        let mut order: Vec<usize> = (0..edits.len()).collect();
        order.sort_by_key(|&edit| shared[edit]);

        let pool = PagePool::new(PAGE);
        let mut cache = self.model.cache(&pool, Pipeline::none(), self.reading.store, "")?;
        // Logarithms of the probabilities of the letters of the sequence itself.
        let mut log_own = vec![0.0; sequence.len()];
        let mut last: Option<Tensor<2>> = None;
        let mut next = 0;
        let mut results: Vec<Option<f64>> = vec![None; edits.len()];
        let mut pending: Vec<Pending<'_>> = Vec::new();
        let mut batch: Vec<Fork> = Vec::new();
        let mut waiting = 0;
        for edit in order {
            while next < shared[edit] {
                let end = shared[edit].min(next + self.reading.chunk);
                last = Some(self.advance(&mut cache, &own_targets, next..end, last, &mut log_own)?);
                next = end;
            }
            if let Some(layout) = layouts[edit].take() {
                let last = last.clone().expect("a start token");
                pending.push(Pending { edit, layout, own: own_of(edit), other: &other_targets[edit], last });
                continue;
            }
            let tokens = others[edit].len() - shared[edit];
            if waiting + tokens > self.reading.chunk && !batch.is_empty() {
                self.finish(std::mem::take(&mut batch), &other_targets, &shared, &mut results)?;
                waiting = 0;
            }
            waiting += tokens;
            batch.push(Fork { edit, cache: cache.fork(), last: last.clone().expect("a start token") });
        }
        self.finish(batch, &other_targets, &shared, &mut results)?;
        // The rest of the sequence itself, as far as an edit counts it; its last token predicts nothing that is there.
        let end = ends.iter().copied().max().unwrap_or(0);
        let counted = own.spans.iter().take_while(|span| span.start < end).count();
        while next + 1 < counted {
            let end = (counted - 1).min(next + self.reading.chunk);
            last = Some(self.advance(&mut cache, &own_targets, next..end, last, &mut log_own)?);
            next = end;
        }
        if let Some(last) = last.filter(|_| next < counted) {
            let letters = self.letters(&last, &[0], |_| (&own_targets, next))?;
            own_targets.write(next, &letters[0], &mut log_own);
        }
        let mut edited: Vec<Option<Ratio>> = vec![None; edits.len()];
        let mut rest = &pending[..];
        while !rest.is_empty() {
            let mut tokens = 0;
            let fits = rest.iter().take_while(|pending| {
                tokens += pending.layout.run();
                tokens <= self.reading.chunk
            });
            let (now, later) = rest.split_at(fits.count().max(1));
            self.edited(&cache, now, &log_own, &mut edited)?;
            rest = later;
        }
        let ratio = |(edit, log_other): (usize, Option<f64>)| {
            if let Some(ratio) = edited[edit] {
                return finite(ratio, edit);
            }
            // Letters that both have in common and are not in a shared token were computed for both.
            let start = own.spans.get(shared[edit]).map_or(sequence.len(), |span| span.start);
            let own_sum: f64 = log_own[start..ends[edit].max(start)].iter().sum();
            let log_ratio = log_other.expect("every edit is finished") - own_sum;
            let own = others[edit].len() - shared[edit];
            finite(Ratio { log_ratio, shared: shared[edit], own, run: own }, edit)
        };
        results.into_iter().enumerate().map(ratio).collect()
    }

    /// Feeds tokens of the sequence, whose probabilities go to `log`; returns the state of the last.
    fn advance(
        &self,
        cache: &mut KvCache,
        targets: &Targets<'_>,
        tokens: std::ops::Range<usize>,
        last: Option<Tensor<2>>,
        log: &mut [f64],
    ) -> Result<Tensor<2>, Error> {
        let states = self.extend(cache, &targets.encoding.ids[tokens.clone()])?;
        if let Some(last) = last {
            let letters = self.letters(&last, &[0], |_| (targets, tokens.start))?;
            targets.write(tokens.start, &letters[0], log);
        }
        let inner: Vec<usize> = (tokens.start + 1..tokens.end).collect();
        let rows: Vec<usize> = (0..inner.len()).collect();
        for (token, letters) in inner.iter().zip(self.letters(&states, &rows, |row| (targets, inner[row]))?) {
            targets.write(*token, &letters, log);
        }
        Ok(states.narrow(0, tokens.len() - 1, 1))
    }

    /// Computes what comes after the change, for several edits in one pass.
    fn finish(
        &self,
        forks: Vec<Fork>,
        targets: &[Targets<'_>],
        shared: &[usize],
        results: &mut [Option<f64>],
    ) -> Result<(), Error> {
        let (mut caches, mut fed, mut lasts, mut members) = (vec![], vec![], vec![], vec![]);
        for Fork { edit, cache, last } in forks {
            let ids = &targets[edit].encoding.ids;
            let tokens = shared[edit]..ids.len();
            // A change that leaves nothing after what is shared: a deletion at the end.
            if tokens.is_empty() {
                results[edit] = Some(0.0);
                continue;
            }
            members.push(edit);
            lasts.push(last);
            caches.push(cache);
            fed.push(&ids[tokens.start..tokens.end - 1]);
        }
        if members.is_empty() {
            return Ok(());
        }
        let firsts =
            self.letters(&Tensor::cat(lasts, 0), &(0..members.len()).collect::<Vec<_>>(), |row| {
                (&targets[members[row]], shared[members[row]])
            })?;
        let mut sums: Vec<f64> = firsts.iter().map(|letters| letters.iter().sum()).collect();
        // A cache without new tokens takes no part.
        let busy: Vec<usize> = (0..members.len()).filter(|&m| !fed[m].is_empty()).collect();
        if !busy.is_empty() {
            let mut caches: Vec<KvCache> = {
                let mut all: Vec<Option<KvCache>> = caches.into_iter().map(Some).collect();
                busy.iter().map(|&m| all[m].take().expect("each once")).collect()
            };
            let rows: Vec<&[u32]> = busy.iter().map(|&m| fed[m]).collect();
            let states = self.model.extend(&mut caches, &rows)?;
            let of: Vec<(usize, usize)> = busy
                .iter()
                .flat_map(|&m| (0..fed[m].len()).map(move |i| (m, i)))
                .map(|(m, i)| (m, shared[members[m]] + 1 + i))
                .collect();
            let letters = self.letters(&states, &(0..of.len()).collect::<Vec<_>>(), |row| {
                (&targets[members[of[row].0]], of[row].1)
            })?;
            for ((m, _), letters) in of.iter().zip(letters) {
                sums[*m] += letters.iter().sum::<f64>();
            }
        }
        for (edit, sum) in members.into_iter().zip(sums) {
            results[edit] = Some(sum);
        }
        Ok(())
    }
}

fn finite(ratio: Ratio, index: usize) -> Result<Ratio, Error> {
    if ratio.log_ratio.is_finite() { Ok(ratio) } else { Err(Error::NotFinite { index }) }
}

/// An edit that waits for its turn.
struct Fork {
    edit: usize,
    cache: KvCache,
    /// State of the last shared token.
    last: Tensor<2>,
}
