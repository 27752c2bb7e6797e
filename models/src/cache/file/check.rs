//! What holds for every file.

use std::sync::Arc;

use kilobase_kernels::attention::{AttnSpec, Heads, KeyForm, PosRule};
use kilobase_kernels::rotary::{RopeStyle, Rotary};
use sha2::{Digest, Sha256};

use super::Encoder;
use crate::cache::policy::{REGISTRY, Settings};
use crate::cache::{Config, KvCache, PagePool, Pipeline, Store};

/// Numbers of a key, and of a value.
const DIM: usize = 4;

/// Reads `bytes` as what follows the settings in a saved cache, with its checksum, and asserts that a cache which loads goes
/// on: used by the property tests and the fuzz targets. The first byte chooses the policy, the second the type of the
/// numbers.
#[doc(hidden)]
pub fn check(bytes: &[u8]) {
    let [policy, store, body @ ..] = bytes else { return };
    let store = [Store::F32, Store::Bf16, Store::Int8][usize::from(*store) % 3];
    let mut cache = empty(usize::from(*policy) % REGISTRY.len(), store);
    let mut file = Vec::new();
    let mut header = Encoder::new(&mut file);
    cache.write_settings(&mut header);
    header.flush().expect("a vector takes all");
    file.extend_from_slice(body);
    let checksum = Sha256::digest(&file);
    file.extend_from_slice(&checksum);
    if cache.read(&mut &file[..], file.len() as u64).is_ok() {
        go_on(&mut cache);
    }
}

fn empty(policy: usize, store: Store) -> KvCache {
    let (_, build) = REGISTRY[policy];
    let stage = build(&Settings { layers: 1, budget: 8, seed: 0 });
    let is_raw = stage.needs().key_form == Some(KeyForm::Raw);
    let config = Config {
        model: String::new(),
        layers: 1,
        query_heads: 2,
        kv_heads: 1,
        key_dim: DIM,
        value_dim: DIM,
        store,
        rotary: (!is_raw).then(rotary),
        causal: true,
    };
    let policy = Pipeline::new(vec![stage]).expect("one stage");
    KvCache::new(config, &PagePool::new(4), policy).expect("a policy that suits")
}

fn rotary() -> Arc<Rotary> {
    Arc::new(Rotary::plain(10_000.0, DIM, RopeStyle::Half))
}

/// Three rows after what is there, then back again.
fn go_on(cache: &mut KvCache) {
    let first = cache.length().min(u32::MAX - 4);
    let positions = [first, first + 1, first + 2];
    let pos = PosRule::Rope { rotary: rotary(), cap: None };
    let spec = AttnSpec { causal: true, pos, ..AttnSpec::new(0.5) };
    let (q, kv) = ([0.5; 3 * 2 * DIM], [0.25; 3 * DIM]);
    let (mut out, mut lse) = ([0.0; 3 * 2 * DIM], [0.0; 3 * 2]);
    let (q, kv) = (Heads::contiguous(&q, 3, 2, DIM), Heads::contiguous(&kv, 3, 1, DIM));
    cache.attend(0, q, kv, kv, &positions, &spec, &mut out, &mut lse).expect("memory for three rows");
    assert_eq!(cache.length(), first + 3, "three rows were appended");
    cache.truncate(first / 2).expect("memory for fewer rows");
    assert!(cache.layer(0).end() <= first / 2, "what was cut off is still there");
}
