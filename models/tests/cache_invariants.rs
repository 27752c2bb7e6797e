//! What every cache policy must hold, run over all that are registered.
//!
//! I1 no policy is dense attention; I2 so is any policy with room for everything; I3 slots and pages may lie in any
//! order; I4 chunks do not matter where nothing is lost; I5 nor do neighbours in a batch; I6 grouped heads are repeated
//! heads; I7 save, load and go on is bit-identical; I8 bytes are exactly those of the pages, and freed ones go back;
//! I9 ties and threads change nothing; I10 empty sets give zero, never NaN.
#![allow(unreachable_pub, reason = "modules of a test")]

mod cache_invariants {
    pub mod decoder;
    pub mod edits;
    pub mod files;
    pub mod prices;
    pub mod refusals;
}

use cache_invariants::decoder::{
    Decoder, HEADS, KEY_DIM, LAYERS, Positions, VALUE_DIM, cache, config, cut, difference, names, positions,
    spec, stages,
};
use std::path::Path;

use kilobase_kernels::attention::{Heads, KvView, Sequence, Stats, forward};
use kilobase_models::cache::policy::budget::LayerBudgets;
use kilobase_models::cache::policy::evict::{Evict, Retention, Scorer};
use kilobase_models::cache::policy::{Kind, Queries};
use kilobase_models::cache::{KvCache, LayerCache, PagePool, Pipeline, Store};

const KV_HEADS: usize = 2;
const LENGTH: usize = 144;
const SMALL: usize = 36;
const TOLERANCE: f32 = 1e-5;
/// Prefill in uneven chunks, then token by token.
const CHUNKS: &[usize] = &[24, 36, 12, 36, 5, 1];

fn decoder() -> Decoder {
    Decoder::new(KV_HEADS, LENGTH, 3)
}

#[test]
fn the_guide_shows_a_policy_as_it_is() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let guide = std::fs::read_to_string(here.join("../CONTRIBUTING.md")).expect("the guide");
    let policy = std::fs::read_to_string(here.join("src/cache/policy/random.rs")).expect("the policy");
    assert!(guide.contains(&policy), "CONTRIBUTING.md shows another random.rs");
}

#[test]
fn i1_no_policy_is_dense_attention() {
    let decoder = decoder();
    for positions in positions("none") {
        let spec = spec(positions);
        let mut cache = cache("none", 0, KV_HEADS, positions, Store::F32);
        let ours = decoder.run(&mut cache, 0..LENGTH, CHUNKS, &spec);
        let error = difference(&ours, &decoder.dense(LENGTH, &spec));
        assert!(error < TOLERANCE, "{positions:?}: {error:e}");
    }
}

#[test]
fn i2_with_room_for_everything_it_is_dense_attention() {
    let decoder = decoder();
    for name in names() {
        for positions in positions(name) {
            let spec = spec(positions);
            let mut cache = cache(name, LENGTH, KV_HEADS, positions, Store::F32);
            let ours = decoder.run(&mut cache, 0..LENGTH, CHUNKS, &spec);
            // The limit form that a policy documents: its own attention, without its choices.
            let limit = cache.policy().attention(spec);
            let error = difference(&ours, &decoder.dense(LENGTH, &limit));
            assert!(error < TOLERANCE, "{name} {positions:?}: {error:e}");
        }
    }
}

#[test]
fn with_little_room_it_is_not_dense_attention() {
    let decoder = decoder();
    for name in names().into_iter().filter(|name| *name != "none") {
        let positions = positions(name)[0];
        let spec = spec(positions);
        let mut cache = cache(name, SMALL, KV_HEADS, positions, Store::F32);
        let ours = decoder.run(&mut cache, 0..LENGTH, CHUNKS, &spec);
        let error = difference(&ours, &decoder.dense(LENGTH, &spec));
        assert!(error > 100.0 * TOLERANCE, "{name} does nothing");
    }
}

#[test]
fn i3_slots_and_pages_may_lie_in_any_order() {
    let decoder = decoder();
    for name in names() {
        for positions in positions(name) {
            let spec = spec(positions);
            let mut in_order = cache(name, SMALL, KV_HEADS, positions, Store::F32);
            let policy = Pipeline::new(stages(name, SMALL)).expect("one stage");
            let shape = config(KV_HEADS, positions, Store::F32);
            let mut shuffled = KvCache::new(shape, &PagePool::new(5), policy).expect("it suits");
            for chunk in cut(0..LENGTH, CHUNKS) {
                let a = decoder.step(&mut in_order, chunk.clone(), &spec);
                let b = decoder.shuffled_step(&mut shuffled, chunk.clone(), &spec);
                let error = difference(&a, &b);
                assert!(error < TOLERANCE, "{name} {positions:?} at {chunk:?}: {error:e}");
            }
            for layer in 0..LAYERS {
                let (a, b) = (in_order.layer(layer), shuffled.layer(layer));
                for head in 0..KV_HEADS {
                    assert_eq!(sorted(a, head), sorted(b, head), "{name} {positions:?}");
                }
            }
        }
    }
}

fn sorted(layer: &LayerCache, head: usize) -> Vec<u32> {
    let mut positions = layer.positions(head).to_vec();
    positions.sort_unstable();
    positions
}

#[test]
fn i4_chunks_do_not_matter_where_nothing_is_lost() {
    let decoder = decoder();
    for name in names() {
        let positions = positions(name)[0];
        let spec = spec(positions);
        let run = |chunks: &[usize]| {
            let mut cache = cache(name, SMALL, KV_HEADS, positions, Store::F32);
            decoder.run(&mut cache, 0..LENGTH, chunks, &spec)
        };
        let kind = stages(name, SMALL).first().map(|stage| stage.needs().kind);
        if kind == Some(Kind::Evict) && name != "lm-infinite" || kind == Some(Kind::Transform) {
            // What is kept follows from the chunks, and from nothing else.
            assert!(run(CHUNKS) == run(CHUNKS), "{name} is not deterministic");
            continue;
        }
        // A chunk of queries looks up together: its own chunks are of 4 at this budget.
        let chunks: [&[usize]; 2] =
            if kind == Some(Kind::Select) { [&[4], &[40, 12, 8]] } else { [&[1], CHUNKS] };
        let whole = run(&[LENGTH]);
        for chunks in chunks {
            let error = difference(&run(chunks), &whole);
            assert!(error < TOLERANCE, "{name} in chunks of {chunks:?}: {error:e}");
        }
    }
}

#[test]
fn i5_neighbours_in_a_batch_do_not_matter() {
    let decoder = decoder();
    for name in names() {
        let positions = positions(name)[0];
        let spec = spec(positions);
        let lengths = [7, LENGTH, 40];
        let caches = lengths.map(|length| {
            let mut cache = cache(name, SMALL, KV_HEADS, positions, Store::F32);
            decoder.run(&mut cache, 0..length, CHUNKS, &spec);
            cache
        });
        let spec = caches[0].policy().attention(spec);
        let q: Vec<f32> = (0..6 * HEADS * KEY_DIM).map(|i| ((i * i) as f32).sin()).collect();
        let q = Heads::contiguous(&q, 6, HEADS, KEY_DIM);
        let at = [7, LENGTH, LENGTH + 1, LENGTH + 2, 39, 40].map(|position| position as u32);
        let rows = [0..1, 1..4, 4..6];
        let attend = |rows: std::ops::Range<usize>, sequences: &[Sequence<'_>]| {
            let mut out = vec![f32::NAN; rows.len() * HEADS * VALUE_DIM];
            let mut lse = vec![f32::NAN; rows.len() * HEADS];
            forward(q.slice(rows.clone()), &at[rows], sequences, &spec, None, &mut out, &mut lse);
            out
        };
        let sequence = |i: usize| Sequence { rows: rows[i].clone(), kv: caches[i].layer(1) };
        let together = attend(0..6, &[sequence(0), sequence(1), sequence(2)]);
        for (i, rows) in rows.iter().enumerate() {
            let alone = attend(rows.clone(), &[Sequence { rows: 0..rows.len(), kv: caches[i].layer(1) }]);
            let part = &together[rows.start * HEADS * VALUE_DIM..rows.end * HEADS * VALUE_DIM];
            let error = difference(&alone, part);
            assert!(error < TOLERANCE, "{name}: {error:e}");
        }
    }
}

#[test]
fn i6_grouped_heads_are_repeated_heads() {
    let decoder = decoder();
    let repeated = decoder.with_repeated_heads();
    for name in names() {
        // Scores are means over a group, so only what does not depend on them is the same at a small budget.
        let same_choice = ["none", "window", "lm-infinite", "infllm"].contains(&name);
        for budget in [LENGTH, SMALL].into_iter().filter(|&budget| budget == LENGTH || same_choice) {
            let positions = positions(name)[0];
            let spec = spec(positions);
            let run = |decoder: &Decoder| {
                let mut cache = cache(name, budget, decoder.kv_heads, positions, Store::F32);
                decoder.run(&mut cache, 0..LENGTH, CHUNKS, &spec)
            };
            let error = difference(&run(&decoder), &run(&repeated));
            assert!(error < TOLERANCE, "{name} at {budget}: {error:e}");
        }
    }
}

#[test]
fn i7_save_load_and_go_on_is_bit_identical() {
    let decoder = decoder();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("cache");
    for name in names() {
        for store in [Store::F32, Store::Bf16, Store::Int8] {
            let positions = positions(name)[0];
            let spec = spec(positions);
            let mut cache = cache(name, SMALL, KV_HEADS, positions, store);
            decoder.run(&mut cache, 0..90, &[24, 36, 12, 5, 1], &spec);
            cache.save(&path).expect("a file");
            let policy = Pipeline::new(stages(name, SMALL)).expect("one stage");
            let shape = config(KV_HEADS, positions, store);
            let mut loaded = KvCache::load(&path, shape, &PagePool::new(16), policy).expect("a saved cache");
            assert_eq!((loaded.length(), loaded.bytes()), (cache.length(), cache.bytes()));
            let go_on = |cache: &mut KvCache| decoder.run(cache, 90..LENGTH, &[20, 1], &spec);
            let (a, b) = (go_on(&mut cache), go_on(&mut loaded));
            assert!(a.iter().map(|x| x.to_bits()).eq(b.iter().map(|x| x.to_bits())), "{name} {store:?}");
            assert_eq!(loaded.bytes(), cache.bytes());
        }
    }
}

/// The formula: pages of 16 slots, keys and values apart; full 8-bit pages carry their scales, the open one is f32.
fn formula(layer: &LayerCache, store: Store) -> usize {
    let rows = |slots: usize, dim: usize, scales: usize| {
        let page = match store {
            Store::F32 => 16 * dim * 4,
            Store::Bf16 => 16 * dim * 2,
            Store::Int8 => {
                return slots / 16 * (16 * dim + 4 * scales) + slots.div_ceil(16) * 16 * dim * 4
                    - slots / 16 * 16 * dim * 4;
            }
        };
        slots.div_ceil(16) * page
    };
    let head = |head: usize| {
        let slots = layer.positions(head).len();
        let (pruned, channels) = match layer.channels(head) {
            Some(channels) => (layer.pruned_slots(head), channels.len()),
            None => (0, 0),
        };
        rows(pruned, channels, channels) + rows(slots - pruned, KEY_DIM, KEY_DIM) + rows(slots, VALUE_DIM, 16)
    };
    (0..KV_HEADS).map(head).sum()
}

#[test]
fn i8_bytes_are_those_of_the_pages_and_freed_ones_go_back() {
    let decoder = decoder();
    for name in names() {
        for store in [Store::F32, Store::Bf16, Store::Int8] {
            let positions = positions(name)[0];
            let spec = spec(positions);
            let pool = PagePool::new(16);
            let build = |name: &str| {
                let policy = Pipeline::new(stages(name, SMALL)).expect("one stage");
                KvCache::new(config(KV_HEADS, positions, store), &pool, policy).expect("it suits")
            };
            let mut cache = build(name);
            for chunk in cut(0..LENGTH, CHUNKS) {
                decoder.step(&mut cache, chunk, &spec);
                let expected: usize = (0..LAYERS).map(|layer| formula(cache.layer(layer), store)).sum();
                assert_eq!((cache.bytes(), pool.bytes()), (expected, expected), "{name} {store:?}");
            }
            let resident = cache.bytes();
            drop(cache);
            assert_eq!(pool.bytes(), 0, "{name} {store:?}");
            pool.trim();
            assert_eq!(pool.reserved(), 0, "{name} {store:?}");
            let mut whole = build("none");
            decoder.run(&mut whole, 0..LENGTH, CHUNKS, &spec);
            let kind = stages(name, SMALL).first().map(|stage| stage.needs().kind);
            match kind {
                // The open pages, which are f32, are most of an 8-bit cache of this size.
                Some(Kind::Evict | Kind::Transform) if store == Store::Int8 => {}
                Some(Kind::Evict) => {
                    assert!(2 * resident < whole.bytes(), "{name} {store:?} frees too little");
                }
                Some(Kind::Transform) => assert!(resident < whole.bytes(), "{name} {store:?} frees nothing"),
                _ => assert_eq!(resident, whole.bytes()),
            }
        }
    }
}

#[test]
fn forks_share_pages_until_they_write() {
    let decoder = decoder();
    for name in names() {
        for store in [Store::F32, Store::Int8] {
            let positions = positions(name)[0];
            let spec = spec(positions);
            let pool = PagePool::new(16);
            let policy = Pipeline::new(stages(name, LENGTH)).expect("one stage");
            let mut cache =
                KvCache::new(config(KV_HEADS, positions, store), &pool, policy).expect("it suits");
            decoder.run(&mut cache, 0..100, CHUNKS, &spec);
            let before = pool.bytes();
            let mut fork = cache.fork();
            assert_eq!(pool.bytes(), before, "{name}");
            // Two ways on, and the first as if the second had never been.
            let mut alone = cache.fork();
            let ours = decoder.run(&mut fork, 100..LENGTH, &[7, 1], &spec);
            assert!(pool.bytes() < before + fork.bytes() / 2, "{name}: nothing is shared");
            decoder.run(&mut cache, 110..LENGTH, &[3], &spec);
            assert!(decoder.run(&mut alone, 100..LENGTH, &[7, 1], &spec) == ours, "{name} {store:?}");
        }
    }
}

#[test]
fn truncated_and_run_again_is_the_same() {
    let decoder = decoder();
    for positions in positions("none") {
        for store in [Store::F32, Store::Int8] {
            let spec = spec(positions);
            let mut cache = cache("none", 0, KV_HEADS, positions, store);
            decoder.run(&mut cache, 0..90, CHUNKS, &spec);
            let (bytes, mut other) = (cache.bytes(), cache.fork());
            decoder.run(&mut other, 90..LENGTH, CHUNKS, &spec);
            other.truncate(90).expect("memory for it");
            assert_eq!((other.length(), other.bytes()), (90, bytes));
            let a = decoder.run(&mut cache, 90..LENGTH, CHUNKS, &spec);
            let b = decoder.run(&mut other, 90..LENGTH, CHUNKS, &spec);
            // 8-bit pages that were full are rounded a second time.
            let bound = if store == Store::F32 { 0.0 } else { 0.05 };
            assert!(difference(&a, &b) <= bound, "{positions:?} {store:?}");
        }
    }
}

/// All slots are equally good.
#[derive(Clone, Debug)]
struct Ties;

impl Scorer for Ties {
    fn name(&self) -> String {
        "ties".to_owned()
    }

    fn scores(&mut self, _layer: usize, view: &dyn KvView, _stats: &Stats) -> Vec<Vec<f32>> {
        (0..view.heads()).map(|head| vec![0.25; view.positions(head).len()]).collect()
    }
}

#[test]
fn i9_ties_go_to_the_lower_position() {
    let decoder = decoder();
    let retention = Retention { budgets: LayerBudgets::Uniform(10), sinks: 1, recent: 2, interval: 1 };
    let policy = Pipeline::new(vec![Box::new(Evict { scorer: Ties, retention })]).expect("one stage");
    let shape = config(KV_HEADS, Positions::Alibi, Store::F32);
    let mut cache = KvCache::new(shape, &PagePool::default(), policy).expect("it suits");
    decoder.shuffled_step(&mut cache, 0..50, &spec(Positions::Alibi));
    for head in 0..KV_HEADS {
        assert_eq!(sorted(cache.layer(0), head), [0, 1, 2, 3, 4, 5, 6, 7, 48, 49]);
    }
}

#[test]
fn i9_the_same_bits_for_any_number_of_threads() {
    let decoder = decoder();
    for name in names() {
        let positions = positions(name)[0];
        let spec = spec(positions);
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            let mut cache = cache(name, SMALL, KV_HEADS, positions, Store::F32);
            pool.install(|| decoder.run(&mut cache, 0..LENGTH, CHUNKS, &spec))
        };
        assert!(run(1) == run(5), "{name}");
    }
}

#[test]
fn i10_empty_sets_give_zero() {
    let decoder = decoder();
    for name in names() {
        for positions in positions(name) {
            let spec = spec(positions);
            let empty = cache(name, 4, KV_HEADS, positions, Store::F32);
            let q = [0.5; HEADS * KEY_DIM];
            let mut out = [f32::NAN; HEADS * VALUE_DIM];
            let mut lse = [f32::NAN; HEADS];
            let q = Heads::contiguous(&q, 1, HEADS, KEY_DIM);
            let spec_here = empty.policy().attention(spec.clone());
            let sequence = [Sequence { rows: 0..1, kv: empty.layer(0) }];
            let mut selecting = empty.fork();
            let selection = selecting.select(0, Queries { q, positions: &[9], spec: &spec_here });
            forward(q, &[9], &sequence, &spec_here, selection.as_ref(), &mut out, &mut lse);
            assert!(out.iter().all(|x| x.to_bits() == 0), "{name}");
            assert!(lse.iter().all(|&lse| lse == f32::NEG_INFINITY), "{name}");
            // No budget is too small to give numbers.
            for budget in 0..4 {
                let mut cache = cache(name, budget, KV_HEADS, positions, Store::F32);
                let out = decoder.run(&mut cache, 0..60, &[20, 0, 7, 1], &spec);
                assert!(out.iter().all(|x| x.is_finite()), "{name} at {budget}");
            }
        }
    }
}
