//! What an eviction frees leaves the process: resident memory before and after, as the system counts it.
#![allow(clippy::print_stdout, reason = "a test says what it measured or why it did not")]

use kilobase_kernels::attention::{AttnSpec, Heads};
use kilobase_models::cache::policy::{Queries, Settings, by_name};
use kilobase_models::cache::{Config, KvCache, PagePool, Pipeline, Store};

const LAYERS: usize = 4;
const KV_HEADS: usize = 4;
const DIM: usize = 64;
const LENGTH: usize = 16_384;

/// Resident bytes of this process.
fn resident() -> Option<usize> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: usize = statm.split(' ').nth(1)?.parse().ok()?;
    // The page size is 4 KiB or larger; the smallest underestimates what is freed.
    Some(pages * 4096)
}

fn build(policy: &str, pool: &PagePool) -> KvCache {
    let config = Config {
        model: String::new(),
        layers: LAYERS,
        query_heads: KV_HEADS,
        kv_heads: KV_HEADS,
        key_dim: DIM,
        value_dim: DIM,
        store: Store::F32,
        rotary: None,
        causal: true,
    };
    let settings = Settings { layers: LAYERS, budget: LENGTH / 4, seed: 1 };
    let policy = by_name(policy, &settings).expect("a registered policy");
    KvCache::new(config, pool, Pipeline::new(vec![policy]).expect("one stage")).expect("it suits")
}

#[test]
fn a_quarter_of_the_budget_is_a_quarter_of_the_memory() {
    if resident().is_none() {
        println!("SKIPPED: no /proc/self/statm on this system");
        return;
    }
    for policy in ["window", "random"] {
        let pool = PagePool::default();
        let mut cache = build(policy, &pool);
        let before = resident().expect("read a moment ago");
        let rows: Vec<f32> = (0..KV_HEADS * DIM * 1024).map(|i| i as f32).collect();
        let rows = Heads::contiguous(&rows, 1024, KV_HEADS, DIM);
        for first in (0..LENGTH as u32).step_by(1024) {
            let positions: Vec<u32> = (first..first + 1024).collect();
            (0..LAYERS).for_each(|layer| {
                cache.append(layer, rows, rows, &positions).expect("memory for it");
            });
        }
        let full = resident().expect("read a moment ago");
        let bytes = cache.bytes();
        assert_eq!(bytes, 2 * LAYERS * KV_HEADS * LENGTH * DIM * 4);
        let spec = AttnSpec { causal: true, ..AttnSpec::new(0.125) };
        let queries = Queries { q: rows.slice(0..1), positions: &[LENGTH as u32 - 1], spec: &spec };
        (0..LAYERS).for_each(|layer| cache.update(layer, queries, None).expect("memory for it"));
        let small = resident().expect("read a moment ago");

        let mib = |bytes: usize| bytes >> 20;
        println!(
            "{policy}: {} MiB of pages in {} MiB of memory, then {} MiB in {} MiB",
            mib(bytes),
            mib(full - before),
            mib(cache.bytes()),
            mib(small.saturating_sub(before))
        );
        assert_eq!(4 * cache.bytes(), bytes);
        assert!(full - before >= bytes * 9 / 10, "the pages were resident");
        assert!(full - small >= (bytes - cache.bytes()) * 9 / 10, "what was freed left the process");
        drop(cache);
        assert_eq!(pool.bytes(), 0);
    }
}
