//! Query-aware choice of keys.

use super::vectors::Vectors;
use kilobase_kernels::attention::{AttnSpec, Heads, KeyForm, Selection, Sequence, Strided, collect, forward};
use kilobase_kernels::rotary::{RopeStyle, Rotary};
use kilobase_models::cache::Plan;
use kilobase_models::cache::policy::budget::LayerBudgets;
use kilobase_models::cache::policy::evict::{Evict, Retention};
use kilobase_models::cache::policy::mpcache::Votes;
use kilobase_models::cache::policy::{CachePolicy, Step};
use kilobase_models::cache::select::hip::Hip;
use kilobase_models::cache::select::infllm2::{InfLlmV2, Units};
use kilobase_models::cache::select::mpcache::{Boxes, Clustered, MpCache, voters};
use kilobase_models::cache::select::squeezed::{self, Clusters, Squeezed};
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use std::ops::Range;

const TOLERANCE: f64 = 2e-5;

pub(crate) fn check(vectors: &Vectors, case: &str) -> bool {
    let inputs = Inputs::new(vectors);
    match case {
        "squeezed" => check_squeezed(vectors, case, &inputs),
        "infllm2" => check_infllm2(vectors, case, &inputs),
        "mpcache_static" => check_mpcache_static(vectors, case, &inputs),
        "mpcache_dynamic" => check_mpcache_dynamic(vectors, case, &inputs),
        "hip" => check_hip(vectors, case, &inputs),
        _ => return false,
    }
    true
}

/// Rotated queries and keys, `[heads, tokens, dim]`.
struct Inputs {
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    heads: usize,
    kv_heads: usize,
    tokens: usize,
    dim: usize,
}

impl Inputs {
    fn new(vectors: &Vectors) -> Self {
        let [q, k, v] = ["q", "k", "v"].map(|name| vectors.data(name));
        let [heads, tokens, dim] = q.shape[..] else { panic!("q of shape {:?}", q.shape) };
        let rotary = Rotary::plain(vectors.f64("theta"), dim, RopeStyle::Half);
        let rotated = |x: Vec<f32>| {
            let positions: Vec<i64> = (0..x.len() / dim).map(|row| (row % tokens) as i64).collect();
            let mut x = x;
            rotary.rotate(&mut x, &positions);
            x
        };
        let kv_heads = k.shape[0];
        Self { q: rotated(q.f32()), k: rotated(k.f32()), v: v.f32(), heads, kv_heads, tokens, dim }
    }

    fn scale(&self) -> f32 {
        1.0 / (self.dim as f32).sqrt()
    }

    fn keys(&self, head: usize) -> &[f32] {
        &self.k[head * self.tokens * self.dim..][..self.tokens * self.dim]
    }

    /// Some query rows of a head.
    fn queries(&self, head: usize, rows: Range<usize>) -> &[f32] {
        &self.q[(head * self.tokens + rows.start) * self.dim..][..rows.len() * self.dim]
    }

    /// The queries of the last row of a key/value head's group, or of another row.
    fn group(&self, kv_head: usize, row: usize) -> Vec<f32> {
        let group = self.heads / self.kv_heads;
        let heads = kv_head * group..(kv_head + 1) * group;
        heads.flat_map(|head| self.queries(head, row..row + 1).to_vec()).collect()
    }

    /// Calls `run` with what the kernel takes: causal attention of all queries over all keys.
    fn attend<T>(&self, run: impl FnOnce(Heads<'_>, &[u32], &[Sequence<'_>], &AttnSpec) -> T) -> T {
        let view = |data, heads| Heads {
            data,
            rows: self.tokens,
            heads,
            dim: self.dim,
            row_stride: self.dim,
            head_stride: self.tokens * self.dim,
        };
        let positions: Vec<u32> = (0..self.tokens as u32).collect();
        let (k, v) = (view(&self.k, self.kv_heads), view(&self.v, self.kv_heads));
        let kv = Strided { k, v, positions: &positions, form: KeyForm::Rotated };
        let spec = AttnSpec { causal: true, ..AttnSpec::new(self.scale()) };
        run(view(&self.q, self.heads), &positions, &[Sequence { rows: 0..self.tokens, kv: &kv }], &spec)
    }

    /// Output `[heads, tokens, dim]` and `lse` `[tokens, heads]` of attention to the chosen keys.
    fn attention(&self, selection: Option<&Selection>) -> (Vec<f32>, Vec<f32>) {
        let mut out = vec![0.0; self.q.len()];
        let mut lse = vec![0.0; self.tokens * self.heads];
        self.attend(|q, positions, sequences, spec| {
            forward(q, positions, sequences, spec, selection, &mut out, &mut lse);
        });
        let row = |row: usize, head: usize| out[(row * self.heads + head) * self.dim..][..self.dim].to_vec();
        let by_head = (0..self.heads).flat_map(|head| (0..self.tokens).map(move |token| (token, head)));
        (by_head.flat_map(|(token, head)| row(token, head)).collect(), lse)
    }
}

fn check_squeezed(vectors: &Vectors, case: &str, inputs: &Inputs) {
    let fixed = &inputs.keys(0)[..vectors.usize("n_fixed") * inputs.dim];
    let seeds: Vec<usize> = vectors.list("km_init").iter().map(|&row| row as usize).collect();
    let clusters = Clusters::fit(fixed, inputs.dim, &seeds, 10);
    vectors.same(case, "labels", clusters.labels());
    let queries = inputs.queries(0, inputs.tokens - 2..inputs.tokens);
    let scores = clusters.scores(queries, inputs.scale(), None);
    vectors.close(case, "scores", &f64s(&scores), TOLERANCE);
    let squeezed = Squeezed { fine: clusters, threshold: vectors.f64("tau") as f32, coarse: None };
    let mut mask = vec![0; vectors.usize("n_fixed")];
    for token in squeezed.select(queries, inputs.scale()).into_iter().flatten() {
        mask[token] = 1;
    }
    vectors.same(case, "mask", &mask);
}

fn check_infllm2(vectors: &Vectors, case: &str, inputs: &Inputs) {
    let method = InfLlmV2 {
        block: vectors.usize("block2"),
        init: 1,
        local: vectors.usize("n_local2"),
        topk: vectors.usize("topk"),
        dense: 0,
    };
    let units: Vec<Units> = (0..inputs.kv_heads)
        .map(|head| {
            let mut units = Units::new(method.block, inputs.dim);
            units.append(inputs.keys(head));
            units
        })
        .collect();
    let last = inputs.tokens - 1;
    let scores: Vec<Vec<f32>> = units
        .iter()
        .enumerate()
        .map(|(head, units)| units.scores(&inputs.group(head, last), last, inputs.scale()))
        .collect();
    vectors.close(case, "scmp_last", &f64s(&scores.concat()), TOLERANCE);
    vectors.same(case, "selected_last", &method.blocks(&scores[0], last));
    let lists = units.iter().enumerate().map(|(head, units)| {
        let row = |row| method.select(&inputs.group(head, row), row, units, inputs.scale());
        (0..inputs.tokens).map(row).collect()
    });
    let (out, _) = inputs.attention(Some(&Selection { query_block: 1, slots: lists.collect() }));
    let stored = vectors.expected(case, "out").shape[1];
    let rows = Vectors::thinned(inputs.tokens, stored);
    let kept = (0..inputs.heads).flat_map(|head| rows.iter().map(move |row| head * inputs.tokens + row));
    let out: Vec<f32> = kept.flat_map(|row| out[row * inputs.dim..][..inputs.dim].to_vec()).collect();
    vectors.close(case, "out", &f64s(&out), TOLERANCE);
}

fn check_mpcache_static(vectors: &Vectors, case: &str, inputs: &Inputs) {
    let (_, lse) = inputs.attention(None);
    let budgets = LayerBudgets::Uniform(vectors.usize("budget"));
    let retention = Retention { budgets, sinks: 0, recent: 0, interval: 1 };
    let mut policy = Evict { scorer: Votes { last: voters(inputs.tokens) }, retention };
    let what = policy.needs().stats.expect("votes");
    let step = Step { rows: inputs.tokens, slots: inputs.tokens, length: inputs.tokens as u32 };
    let plan = inputs.attend(|q, positions, sequences, spec| {
        let stats = collect(q, positions, sequences, spec, None, &lse, what);
        policy.plan(0, step, sequences[0].kv, &stats[0])
    });
    let Plan::Keep(slots) = plan else { panic!("{plan:?}") };
    vectors.same(case, "keep", &slots.concat());
}

fn check_mpcache_dynamic(vectors: &Vectors, case: &str, inputs: &Inputs) {
    let method = MpCache {
        coarse: vectors.usize("coarse"),
        fine: vectors.usize("fine"),
        n_coarse: vectors.usize("n_coarse"),
        n_fine: vectors.usize("n_fine"),
        alpha: 0.6,
    };
    let mut clusters = Clustered::new(method, inputs.dim);
    clusters.append(inputs.keys(0));
    let group = inputs.group(0, inputs.tokens - 1);
    let read: Vec<usize> =
        method.select(&group, &clusters, clusters.clusters()).into_iter().flatten().collect();
    vectors.same(case, "idx", &read);
    let first = &group[..inputs.dim];
    vectors.close(case, "bound0", &[f64::from(clusters.coarse().bound(0, first))], TOLERANCE);
    vectors.close(case, "lin0", &[f64::from(clusters.coarse().linear(0, first, method.alpha))], TOLERANCE);
}

fn check_hip(vectors: &Vectors, case: &str, inputs: &Inputs) {
    let method = Hip { block: vectors.usize("hip_bk"), keep: vectors.usize("hip_keep") };
    let queries = inputs.queries(0, inputs.tokens - 4..inputs.tokens);
    let keys: Vec<&[f32]> = inputs.keys(0).chunks(method.block * inputs.dim).collect();
    let blocks = method.blocks(keys.len(), |block| largest(queries, keys[block], inputs.dim));
    vectors.same(case, "blocks", &blocks);
}

/// The largest product of one of the queries with one of the keys.
fn largest(queries: &[f32], keys: &[f32], dim: usize) -> f32 {
    let with = |query| keys.chunks_exact(dim).map(move |key| product(query, key));
    queries.chunks_exact(dim).flat_map(with).fold(f32::NEG_INFINITY, f32::max)
}

fn f64s(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}

fn vector(dim: usize) -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec(-2.0..2.0_f32, dim)
}

/// `[tokens, 6]` for at least one token.
fn rows() -> impl Strategy<Value = Vec<f32>> {
    (1..70_usize).prop_flat_map(|tokens| vector(tokens * 6))
}

fn product(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn squeezed_with_a_cluster_a_token_is_attention(keys in rows(), query in vector(6)) {
        let all: Vec<usize> = (0..keys.len() / 6).collect();
        let clusters = Clusters::fit(&keys, 6, &all, 0);
        prop_assert_eq!(clusters.labels(), &all[..]);
        let scores: Vec<f64> = keys.chunks(6).map(|key| f64::from(0.4 * product(&query, key)).exp()).collect();
        let sum: f64 = scores.iter().sum();
        for (ours, score) in clusters.scores(&query, 0.4, None).iter().zip(scores) {
            prop_assert!((f64::from(*ours) - score / sum).abs() < 1e-6);
        }
    }

    #[test]
    fn squeezed_scores_are_shares_and_no_threshold_reads_all(
        keys in rows(), query in vector(12), count in 1..9_usize, seed in 0..9_u64,
    ) {
        let tokens = keys.len() / 6;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let seeds = squeezed::seeds(&keys, 6, count, &mut rng);
        prop_assert!(!seeds.is_empty() && seeds.iter().all(|&seed| seed < tokens));
        let fine = Clusters::fit(&keys, 6, &seeds, 300);
        prop_assert_eq!(fine.sizes().iter().sum::<usize>(), tokens);
        let scores = fine.scores(&query, 0.4, None);
        let sum: f32 = scores.iter().zip(fine.sizes()).map(|(score, &size)| score * size as f32).sum();
        prop_assert!((sum - 1.0).abs() < 1e-5);
        let coarse = fine.coarser(&[0, seeds.len() - 1], 10);
        prop_assert_eq!(coarse.sizes().iter().sum::<usize>(), tokens);
        let all = Squeezed { fine: fine.clone(), threshold: -1.0, coarse: Some((coarse, -1.0)) };
        prop_assert_eq!(all.select(&query, 0.4), vec![0..tokens]);
        // A coarse cluster that holds everything changes nothing.
        let limit = squeezed::threshold(fine.token_scores(&scores), 0.7).expect("tokens");
        let flat = Squeezed { fine: fine.clone(), threshold: limit, coarse: None };
        let deep = Squeezed { coarse: Some((fine.coarser(&[0], 10), 0.0)), ..flat.clone() };
        prop_assert_eq!(flat.select(&query, 0.4), deep.select(&query, 0.4));
        let read: usize = flat.select(&query, 0.4).iter().map(Range::len).sum();
        prop_assert!(read as f64 <= 0.3 * tokens as f64 + 1.0);
    }

    #[test]
    fn infllm2_reads_all_where_it_may(keys in rows(), query in vector(12), topk in 0..4_usize) {
        let last = keys.len() / 6 - 1;
        let mut units = Units::new(8, 6);
        units.append(&keys);
        let method = InfLlmV2 { block: 8, init: 1, local: 2, topk, dense: 0 };
        let read = method.select(&query, last, &units, 0.4);
        prop_assert_eq!(read.last().expect("its own block").end, last + 1);
        if last < 3 * 8 {
            prop_assert_eq!((read.len(), read[0].clone()), (1, 0..last + 1));
        }
        let blocks = last / 8 + 1;
        prop_assert_eq!(read.iter().map(|r| r.len().div_ceil(8)).sum::<usize>(), blocks.min(3 + topk));
        for all in [InfLlmV2 { topk: blocks, ..method }, InfLlmV2 { dense: last + 1, ..method }] {
            prop_assert_eq!(all.select(&query, last, &units, 0.4), vec![0..last + 1]);
        }
    }

    #[test]
    fn infllm2_units_do_not_depend_on_chunks_and_are_means(keys in rows(), cut in 0..70_usize) {
        let mut whole = Units::new(8, 6);
        whole.append(&keys);
        let (first, second) = keys.split_at((cut * 6).min(keys.len()));
        let mut parts = Units::new(8, 6);
        parts.append(first);
        parts.append(second);
        prop_assert_eq!(&whole, &parts);
        for (unit, mean) in whole.means().chunks(6).enumerate() {
            for (d, mean) in mean.iter().enumerate() {
                let expected = (0..4).map(|i| keys[(unit * 2 + i) * 6 + d]).sum::<f32>() / 4.0;
                prop_assert!((mean - expected).abs() < 1e-6);
            }
        }
        prop_assert_eq!(whole.means().len() / 6, (keys.len() / 6).saturating_sub(2) / 2);
    }

    #[test]
    fn mpcache_bounds_hold(keys in rows(), query in vector(6), size in 1..9_usize) {
        let tokens = keys.len() / 6;
        let stretches: Vec<Range<usize>> =
            (0..tokens).step_by(size).map(|first| first..tokens.min(first + size)).collect();
        let boxes = Boxes::around(&keys, 6, stretches.clone());
        let positive: Vec<f32> = query.iter().map(|q| q.abs()).collect();
        for (i, stretch) in stretches.into_iter().enumerate() {
            let products = stretch.map(|token| product(&query, &keys[token * 6..][..6]));
            prop_assert!(boxes.bound(i, &query) >= products.fold(f32::NEG_INFINITY, f32::max) - 1e-5);
            prop_assert!((boxes.linear(i, &positive, 1.0) - boxes.bound(i, &positive)).abs() < 1e-5);
        }
    }

    #[test]
    fn mpcache_reads_what_it_may(keys in rows(), query in vector(12), fine in 1..5_usize, n in 1..40_usize) {
        let tokens = keys.len() / 6;
        let method = MpCache { coarse: 9, fine, n_coarse: 99, n_fine: 99, alpha: 0.6 };
        let mut clusters = Clustered::new(method, 6);
        clusters.append(&keys);
        let all = clusters.clusters();
        prop_assert_eq!(method.select(&query, &clusters, all), vec![0..tokens]);
        let some = MpCache { n_coarse: 2, n_fine: n, ..method };
        let read: usize = some.select(&query, &clusters, all).iter().map(Range::len).sum();
        prop_assert!(read > 0 && read <= (n * fine).min(18));
        // What was cut off has no boxes, and what was appended later the same ones.
        let first = all / 2;
        let mut parts = Clustered::new(method, 6);
        parts.append(&keys[..first * 9 * 6]);
        prop_assert_eq!(some.select(&query, &parts, first), some.select(&query, &clusters, first));
        parts.append(&keys[first * 9 * 6..]);
        prop_assert_eq!(parts, clusters);
    }

    #[test]
    fn hip_finds_a_region_of_equal_keys(blocks in 1..60_usize, keep in 1..9_usize, at in 0..60_usize) {
        let (keep, at) = (keep.min(blocks), at % blocks);
        // The blocks of one of the groups it starts with point with the query, all others against it.
        let group = (0..keep).map(|i| blocks * i / keep..blocks * (i + 1) / keep).find(|g| g.contains(&at));
        let group = group.expect("groups cover the blocks");
        let sign = |token: usize| if group.contains(&(token / 3)) { 1.0 } else { -1.0 };
        let keys: Vec<f32> = (0..blocks * 3).flat_map(|token| [sign(token); 4]).collect();
        let score = |block: usize| largest(&[1.0; 4], &keys[block * 12..][..12], 4);
        let read = Hip { block: 3, keep }.blocks(blocks, score);
        let inside = read.iter().filter(|&block| group.contains(block)).count();
        prop_assert_eq!(inside, group.len().min(keep));
        prop_assert_eq!(read.len(), keep);
        let all = Hip { block: 3, keep: blocks };
        prop_assert_eq!(all.blocks(blocks, score), (0..blocks).collect::<Vec<_>>());
    }
}
