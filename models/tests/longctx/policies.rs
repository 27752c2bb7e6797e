//! Cache policies: which slots, channels and blocks they choose, and what attention makes of them.

use std::sync::Arc;

use kilobase_kernels::attention::{
    AttnSpec, Collect, Heads, KvView, PosRule, Sequence, Stats, collect, forward,
};
use kilobase_kernels::rotary::{RopeStyle, Rotary};
use kilobase_models::cache::policy::budget::LayerBudgets;
use kilobase_models::cache::policy::evict::{Evict, Retention, Scorer};
use kilobase_models::cache::policy::h2o::{HeavyHitters, Normalize};
use kilobase_models::cache::policy::infllm::{InfLlm, Memory, Sizes};
use kilobase_models::cache::policy::kvcrush::{Anchor, Crush, KvCrush};
use kilobase_models::cache::policy::pie::{Edit, Refresh};
use kilobase_models::cache::policy::think::Think;
use kilobase_models::cache::policy::{CachePolicy, lm_infinite, pyramid, snapkv};
use kilobase_models::cache::{Config, KvCache, PagePool, Pipeline, Store};

use super::vectors::{Array, Vectors};

const TOLERANCE: f64 = 2e-5;

pub fn check(vectors: &Vectors, case: &str) -> bool {
    match case {
        "h2o_prefill" => h2o_prefill(vectors, case),
        "h2o_stream" => h2o_stream(vectors, case),
        "snapkv" => snap(vectors, case),
        "pyramid" => budgets(vectors, case),
        "kvcrush_token" => kvcrush(vectors, case, "kc_budget", 1),
        "kvcrush_page" => kvcrush(vectors, case, "kc_budget_page", vectors.usize("page")),
        "think" => think(vectors, case),
        "infllm" => infllm(vectors, case),
        "pie" => pie(vectors, case),
        _ => return false,
    }
    true
}

/// The inputs, by rows.
struct Inputs {
    rows: usize,
    heads: usize,
    kv_heads: usize,
    dim: usize,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    rotary: Arc<Rotary>,
    spec: AttnSpec,
}

/// `[heads, rows, dim]` as `[rows, heads, dim]`.
fn by_rows(array: &Array) -> Vec<f32> {
    let [heads, rows, dim] = array.shape[..] else { panic!("three axes") };
    let data = array.f32();
    (0..rows)
        .flat_map(|row| (0..heads).map(move |head| (head * rows + row) * dim))
        .flat_map(|at| &data[at..at + dim])
        .copied()
        .collect()
}

impl Inputs {
    fn new(vectors: &Vectors) -> Self {
        let (q, k) = (vectors.data("q"), vectors.data("k"));
        let [heads, rows, dim] = q.shape[..] else { panic!("three axes") };
        let rotary = Arc::new(Rotary::plain(vectors.f64("theta"), dim, RopeStyle::Half));
        let pos = PosRule::Rope { rotary: Arc::clone(&rotary), cap: None };
        let spec = AttnSpec { causal: true, pos, ..AttnSpec::new((dim as f32).sqrt().recip()) };
        let (q, kv_heads, k, v) = (by_rows(&q), k.shape[0], by_rows(&k), by_rows(&vectors.data("v")));
        Self { rows, heads, kv_heads, dim, q, k, v, rotary, spec }
    }

    fn q(&self) -> Heads<'_> {
        Heads::contiguous(&self.q, self.rows, self.heads, self.dim)
    }

    fn k(&self) -> Heads<'_> {
        Heads::contiguous(&self.k, self.rows, self.kv_heads, self.dim)
    }

    fn v(&self) -> Heads<'_> {
        Heads::contiguous(&self.v, self.rows, self.kv_heads, self.dim)
    }

    fn cache(&self, rotated: bool, stages: Vec<Box<dyn CachePolicy>>) -> KvCache {
        let config = Config {
            model: String::new(),
            layers: 1,
            query_heads: self.heads,
            kv_heads: self.kv_heads,
            key_dim: self.dim,
            value_dim: self.dim,
            store: Store::F32,
            rotary: rotated.then(|| Arc::clone(&self.rotary)),
            causal: true,
        };
        let policy = Pipeline::new(stages).expect("one stage");
        KvCache::new(config, &PagePool::new(4), policy).expect("a policy that suits the cache")
    }

    /// Runs some rows through the cache, so many at once; returns `[rows, heads, dim]`.
    fn run(&self, cache: &mut KvCache, rows: std::ops::Range<usize>, chunk: usize) -> Vec<f32> {
        let mut out = Vec::new();
        for first in rows.clone().step_by(chunk) {
            let rows = first..(first + chunk).min(rows.end);
            let mut part = vec![f32::NAN; rows.len() * self.heads * self.dim];
            let mut lse = vec![f32::NAN; rows.len() * self.heads];
            let positions: Vec<u32> = rows.clone().map(|row| row as u32).collect();
            let [q, k, v] = [self.q(), self.k(), self.v()].map(|x| x.slice(rows.clone()));
            cache.attend(0, q, k, v, &positions, &self.spec, &mut part, &mut lse).expect("memory for it");
            out.append(&mut part);
        }
        out
    }

    /// Compares `[rows, heads, dim]` with `[heads, some of the rows, dim]`.
    fn close(&self, vectors: &Vectors, case: &str, out: &[f32]) {
        let rows = out.len() / (self.heads * self.dim);
        let stored = vectors.expected(case, "out").shape[1];
        let rows = Vectors::thinned(rows, stored);
        let at = |head: usize, row: usize| (row * self.heads + head) * self.dim;
        let ours: Vec<f64> = (0..self.heads)
            .flat_map(|head| rows.iter().map(move |&row| at(head, row)))
            .flat_map(|at| &out[at..at + self.dim])
            .map(|&x| f64::from(x))
            .collect();
        vectors.close(case, "out", &ours, TOLERANCE);
    }
}

fn resident(cache: &KvCache) -> Vec<usize> {
    let layer = cache.layer(0);
    let heads = (0..layer.heads()).map(|head| {
        let mut positions: Vec<usize> = layer.positions(head).iter().map(|&p| p as usize).collect();
        positions.sort_unstable();
        positions
    });
    heads.flatten().collect()
}

/// What a scorer makes of the whole prompt.
fn scores(inputs: &Inputs, scorer: &mut impl Scorer) -> Vec<Vec<f32>> {
    let mut cache = inputs.cache(true, Vec::new());
    let positions: Vec<u32> = (0..inputs.rows as u32).collect();
    cache.append(0, inputs.k(), inputs.v(), &positions).expect("memory for it");
    let view = cache.layer(0);
    let sequence = [Sequence { rows: 0..inputs.rows, kv: view }];
    let mut out = vec![0.0; inputs.q.len()];
    let mut lse = vec![0.0; inputs.rows * inputs.heads];
    forward(inputs.q(), &positions, &sequence, &inputs.spec, None, &mut out, &mut lse);
    let what = scorer.stats().unwrap_or(Collect::ColumnMass { last: None });
    let stats: Vec<Stats> = collect(inputs.q(), &positions, &sequence, &inputs.spec, None, &lse, what);
    scorer.scores(0, view, &stats[0])
}

fn flat(scores: impl IntoIterator<Item = Vec<f32>>) -> Vec<f64> {
    scores.into_iter().flatten().map(f64::from).collect()
}

fn heavy_hitters(vectors: &Vectors) -> Evict<HeavyHitters> {
    Evict {
        scorer: HeavyHitters::new(1, Normalize::None),
        retention: Retention {
            budgets: LayerBudgets::Uniform(vectors.usize("budget")),
            sinks: vectors.usize("sink") as u32,
            recent: vectors.usize("recent") as u32,
            interval: 1,
        },
    }
}

fn h2o_prefill(vectors: &Vectors, case: &str) {
    let inputs = Inputs::new(vectors);
    let mut policy = heavy_hitters(vectors);
    vectors.close(case, "scores", &flat(scores(&inputs, &mut policy.scorer)), TOLERANCE);
    let mut cache = inputs.cache(true, vec![Box::new(heavy_hitters(vectors))]);
    inputs.run(&mut cache, 0..inputs.rows, inputs.rows);
    vectors.same(case, "keep", &resident(&cache));
}

fn h2o_stream(vectors: &Vectors, case: &str) {
    let inputs = Inputs::new(vectors);
    let mut cache = inputs.cache(true, vec![Box::new(heavy_hitters(vectors))]);
    let out = inputs.run(&mut cache, 0..inputs.rows, 1);
    inputs.close(vectors, case, &out);
    vectors.same(case, "keep", &resident(&cache));
}

fn snap(vectors: &Vectors, case: &str) {
    let inputs = Inputs::new(vectors);
    let (window, kernel) = (vectors.usize("window"), vectors.usize("kernel"));
    let policy = snapkv::policy(LayerBudgets::Uniform(vectors.usize("budget")), window, kernel, 1);
    let scores = scores(&inputs, &mut policy.scorer.clone());
    let before = scores.into_iter().map(|head| head[..inputs.rows - window].to_vec());
    vectors.close(case, "scores", &flat(before), TOLERANCE);
    let mut cache = inputs.cache(true, vec![Box::new(policy)]);
    inputs.run(&mut cache, 0..inputs.rows, inputs.rows);
    vectors.same(case, "keep", &resident(&cache));
}

/// The spec names length, window and steepness: `pyramid_budgets(4096,L,keep_ratio,64,20)`.
fn budgets(vectors: &Vectors, case: &str) {
    let numbers: Vec<usize> = vectors
        .description(case)
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .collect();
    let [length, window, beta] = numbers[..] else { panic!("three numbers in the spec of {case}") };
    let mean = vectors.f64("keep_ratio") * length as f64;
    let ours = pyramid::budgets(length, vectors.usize("layers"), mean, window, beta);
    vectors.same(case, "budgets", &ours);
}

fn kvcrush(vectors: &Vectors, case: &str, budget: &str, unit: usize) {
    let scores = vectors.data("scores");
    let slots = scores.shape[1];
    let scores: Vec<Vec<f32>> = scores.f32().chunks(slots).map(<[f32]>::to_vec).collect();
    let anchor = match vectors.par("kc_anchor").as_str() {
        _ if unit > 1 => Anchor::Mean,
        Some("zeros") => Anchor::Zeros,
        Some("ones") => Anchor::Ones,
        Some("mean") => Anchor::Mean,
        Some("alternate") => Anchor::Alternate,
        other => panic!("the anchor {other:?}"),
    };
    let forced = if unit > 1 { unit } else { 0 };
    let budget = vectors.usize(budget);
    let policy = KvCrush {
        scorer: HeavyHitters::new(1, Normalize::None),
        retention: Retention {
            budgets: LayerBudgets::Uniform(budget),
            sinks: forced as u32,
            recent: forced as u32,
            interval: 1,
        },
        crush: Crush { unit, ratio: vectors.f64("kc_ratio"), anchor },
    };
    let positions: Vec<u32> = (0..slots as u32).collect();
    let kept: Vec<usize> = policy.keep(&scores, &positions, budget).into_iter().collect();
    vectors.same(case, "keep", &kept);
    let middle: Vec<Vec<f32>> = scores.iter().map(|head| head[forced..slots - forced].to_vec()).collect();
    let choice = policy.crush.choose(&middle, (budget - 2 * forced) / unit);
    let hamming: Vec<usize> = choice.hamming.iter().map(|&distance| distance as usize).collect();
    vectors.same(case, "hamming", &hamming);
    vectors.same(case, "representatives", &choice.representatives);
    if unit == 1 {
        vectors.same(case, "important", &choice.important);
    }
}

fn think(vectors: &Vectors, case: &str) {
    let inputs = Inputs::new(vectors);
    let (window, recent) = (vectors.usize("window"), vectors.usize("recent"));
    let policy = Think::new(1, vectors.f64("think_ratio"), window, recent, 1);
    let mut cache = inputs.cache(true, vec![Box::new(policy)]);
    inputs.run(&mut cache, 0..inputs.rows, inputs.rows);
    let view = cache.layer(0);
    let channels: Vec<usize> = (0..inputs.kv_heads)
        .flat_map(|head| view.channels(head).expect("channels were dropped"))
        .map(|&channel| channel as usize)
        .collect();
    vectors.same(case, "channels", &channels);

    let last = vectors.expected(case, "out").shape[1];
    let rows = inputs.rows - last..inputs.rows;
    let positions: Vec<u32> = rows.clone().map(|row| row as u32).collect();
    let mut out = vec![0.0; last * inputs.heads * inputs.dim];
    let mut lse = vec![0.0; last * inputs.heads];
    let sequence = [Sequence { rows: 0..last, kv: view }];
    forward(inputs.q().slice(rows), &positions, &sequence, &inputs.spec, None, &mut out, &mut lse);
    inputs.close(vectors, case, &out);
}

fn infllm(vectors: &Vectors, case: &str) {
    let inputs = Inputs::new(vectors);
    let sizes = Sizes {
        init: vectors.usize("n_init") as u32,
        block: vectors.usize("block") as u32,
        local: vectors.usize("n_local") as u32,
        top_k: vectors.usize("topk"),
        representatives: vectors.usize("r_k"),
        chunk: vectors.usize("chunk"),
    };
    let first = inputs.rows - sizes.chunk;

    let mut cache = inputs.cache(false, Vec::new());
    let positions: Vec<u32> = (0..inputs.rows as u32).collect();
    cache.append(0, inputs.k(), inputs.v(), &positions).expect("memory for it");
    let (view, rotary) = (cache.layer(0), Some(&*inputs.rotary));
    let mut memory = Memory::default();
    memory.observe(&sizes, inputs.q().slice(0..first), &positions[..first], view, rotary);
    memory.close(&sizes, sizes.blocks_before(positions[first]), inputs.heads, view, rotary);
    let chunk = inputs.q().slice(first..inputs.rows);
    vectors.close(case, "block_scores", &flat([memory.scores(chunk, sizes.local, rotary)]), TOLERANCE);
    let selected = memory.look_up(chunk, &sizes, rotary);
    let selected: Vec<usize> = selected.into_iter().map(|block| block as usize).collect();
    vectors.same(case, "selected", &selected);
    let picks = |head: usize| {
        let of = move |picks: &[u32]| picks[head * sizes.representatives..][..sizes.representatives].to_vec();
        memory.blocks().iter().flat_map(move |block| of(&block.picks))
    };
    let picks: Vec<usize> = (0..inputs.heads).flat_map(picks).map(|position| position as usize).collect();
    vectors.same(case, "picks", &picks);

    // The policy builds the same memory as it goes, whatever the chunks were.
    for chunk in [1, 4, first] {
        let policy: Box<dyn CachePolicy> = Box::new(InfLlm::new(1, sizes));
        let capped = lm_infinite::capped(inputs.spec.clone(), sizes.local);
        assert!(matches!(capped.pos, PosRule::Rope { cap: Some(cap), .. } if cap == sizes.local));
        let mut cache = inputs.cache(false, vec![policy]);
        inputs.run(&mut cache, 0..first, chunk);
        let out = inputs.run(&mut cache, first..inputs.rows, sizes.chunk);
        inputs.close(vectors, case, &out);
    }
}

fn pie(vectors: &Vectors, case: &str) {
    let inputs = Inputs::new(vectors);
    let edit = vectors.list("edit");
    let [start, end, inserted] = edit[..] else { panic!("three numbers") };
    let edit = Edit { replaced: start as u32..end as u32, inserted: inserted as u32 };
    let positions: Vec<u32> = (0..inputs.rows as u32).collect();
    let mut cache = inputs.cache(true, Vec::new());
    cache.append(0, inputs.k(), inputs.v(), &positions).expect("memory for it");
    let compute = cache.edit(&[edit], Refresh::None).expect("a good edit");
    let positions: Vec<u32> = compute.into_iter().flatten().collect();
    let new = 0..positions.len();
    cache.append(0, inputs.k().slice(new.clone()), inputs.v().slice(new), &positions).expect("memory for it");

    let view = cache.layer(0);
    let length = cache.length() as usize;
    vectors.same(case, "v_shape", &[inputs.kv_heads, length, view.value_dim()]);
    let rows = Vectors::thinned(length, vectors.expected(case, "k").shape[1]);
    let mut keys = Vec::new();
    for head in 0..inputs.kv_heads {
        let places = view.positions(head);
        assert_eq!(places.len(), length);
        for &row in &rows {
            let slot = places.iter().position(|&place| place as usize == row).expect("every position");
            let mut key = vec![0.0; inputs.dim];
            view.keys(head, slot..slot + 1, &mut key);
            keys.extend(key.into_iter().map(f64::from));
        }
    }
    vectors.close(case, "k", &keys, TOLERANCE);
}
