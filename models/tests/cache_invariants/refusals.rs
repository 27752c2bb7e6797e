//! Combinations that make no sense are refused with a reason.

use kilobase_kernels::attention::Normalizer;
use kilobase_models::cache::policy::pie::{Edit, Refresh};
use kilobase_models::cache::policy::{Settings, by_name};
use kilobase_models::cache::{CacheError, EditError, KvCache, PagePool, Pipeline, PolicyError, Store};

use super::decoder::{Decoder, KEY_DIM, LAYERS, Positions, VALUE_DIM, cache, config, spec, stages};

fn pipeline(names: &[&str]) -> Result<Pipeline, PolicyError> {
    Pipeline::new(names.iter().flat_map(|name| stages(name, 32)).collect())
}

fn built(names: &[&str], positions: Positions, causal: bool) -> Result<KvCache, PolicyError> {
    let mut config = config(2, positions, Store::F32);
    config.causal = causal;
    KvCache::new(config, &PagePool::default(), pipeline(names)?)
}

#[test]
fn stages_that_do_not_go_together() {
    let refusal = |names: &[&str]| pipeline(names).expect_err("an illegal pipeline");
    let name = |name: &str| stages(name, 32)[0].name();
    assert_eq!(
        refusal(&["h2o", "window"]),
        PolicyError::Twice { kind: "evict", first: name("h2o"), second: name("window") }
    );
    assert!(matches!(refusal(&["infllm", "infllm"]), PolicyError::Twice { kind: "select", .. }));
    assert_eq!(refusal(&["think", "h2o"]), PolicyError::Order { first: name("think"), second: name("h2o") });
    assert!(matches!(refusal(&["snapkv", "infllm"]), PolicyError::Granularity { .. }));
    for legal in [
        &["snapkv", "think"][..],
        &["kvcrush", "think", "infllm"],
        &["mpcache-static", "mpcache"],
        &["lm-infinite"],
        &[],
    ] {
        pipeline(legal).expect("a legal pipeline");
    }
}

#[test]
fn stages_that_do_not_suit_the_cache() {
    for name in ["infllm", "lm-infinite"] {
        let error = built(&[name], Positions::Rotated, true).expect_err("rotated keys");
        assert_eq!(error, PolicyError::KeyForm { policy: stages(name, 32)[0].name(), needs: "raw" });
    }
    for name in ["infllm2", "hip", "mpcache", "squeezed"] {
        let error = built(&[name], Positions::Raw, true).expect_err("raw keys");
        assert_eq!(error, PolicyError::KeyForm { policy: stages(name, 32)[0].name(), needs: "rotated" });
    }
    for name in ["window", "random", "h2o", "snapkv", "pyramid", "kvcrush", "infllm", "lm-infinite"] {
        let error = built(&[name], Positions::Raw, false).expect_err("an encoder");
        assert_eq!(error, PolicyError::CausalOnly { policy: stages(name, 32)[0].name() });
    }
    built(&["think"], Positions::Rotated, false).expect("channels can be pruned in an encoder");
}

#[test]
fn names_that_are_not_registered() {
    let settings = Settings { layers: LAYERS, budget: 8, seed: 0 };
    let error = by_name("h20", &settings).map(|policy| policy.name()).expect_err("no such policy");
    assert!(error.to_string().starts_with("no cache policy is called h20; there are window, random, h2o"));
}

#[test]
fn attention_masses_of_no_softmax() {
    let mut cache = cache("h2o", 8, 2, Positions::Raw, Store::F32);
    let mut spec = spec(Positions::Raw);
    spec.norm = Normalizer::SoftplusL1;
    let (k, v, q) = ([0.5; 2 * KEY_DIM], [0.5; 2 * VALUE_DIM], [0.5; 4 * KEY_DIM]);
    let heads = |x, heads, dim| kilobase_kernels::attention::Heads::contiguous(x, 1, heads, dim);
    let (q, k, v) = (heads(&q, 4, KEY_DIM), heads(&k, 2, KEY_DIM), heads(&v, 2, VALUE_DIM));
    let (mut out, mut lse) = ([0.0; 4 * VALUE_DIM], [0.0; 4]);
    let error = cache.attend(0, q, k, v, &[0], &spec, &mut out, &mut lse).expect_err("no softmax");
    assert!(matches!(error, CacheError::Policy(PolicyError::Normalizer { .. })), "{error}");
}

#[test]
fn edits_that_cannot_be_made() {
    let decoder = Decoder::new(2, 80, 5);
    let edit = [Edit { replaced: 3..4, inserted: 2 }];
    let refusal = |name: &str, positions, edits: &[Edit]| {
        let mut cache = cache(name, 32, 2, positions, Store::F32);
        decoder.run(&mut cache, 0..80, &[80], &spec(positions));
        match cache.edit(edits, Refresh::None) {
            Err(CacheError::Edit(error)) => Some(error),
            Ok(_) => None,
            Err(other) => panic!("{other}"),
        }
    };
    assert!(matches!(refusal("infllm", Positions::Raw, &edit), Some(EditError::FixedPositions { .. })));
    assert!(matches!(refusal("squeezed", Positions::Rotated, &edit), Some(EditError::FixedPositions { .. })));
    assert_eq!(refusal("think", Positions::Rotated, &edit), Some(EditError::Pruned));
    assert_eq!(refusal("think", Positions::Alibi, &edit), None);
    let same_length = [Edit { replaced: 3..4, inserted: 1 }];
    assert_eq!(refusal("think", Positions::Rotated, &same_length), None);
    let beyond = [Edit { replaced: 79..81, inserted: 0 }];
    assert_eq!(
        refusal("none", Positions::Rotated, &beyond),
        Some(EditError::OutOfRange { start: 79, end: 81, length: 80 })
    );
    let mut encoder = built(&[], Positions::Rotated, false).expect("no policy");
    assert!(matches!(encoder.edit(&edit, Refresh::None), Err(CacheError::Edit(EditError::NotCausal))));
}

#[test]
fn a_pool_that_is_full() {
    let decoder = Decoder::new(2, 100, 5);
    let pool = PagePool::with_limit(16, 40_000);
    let policy = Pipeline::new(stages("window", 16)).expect("one stage");
    let shape = config(2, Positions::Rotated, Store::F32);
    let mut cache = KvCache::new(shape.clone(), &pool, policy).expect("it suits");
    // Eviction keeps within the limit what would not fit without it.
    decoder.run(&mut cache, 0..100, &[16], &spec(Positions::Rotated));
    let mut whole =
        KvCache::new(shape, &PagePool::with_limit(16, 40_000), Pipeline::none()).expect("it suits");
    let (k, v) = (vec![0.0; 2 * 100 * KEY_DIM], vec![0.0; 2 * 100 * VALUE_DIM]);
    let heads = |x, dim| kilobase_kernels::attention::Heads::contiguous(x, 100, 2, dim);
    let positions: Vec<u32> = (0..100).collect();
    let error = (0..LAYERS)
        .find_map(|layer| whole.append(layer, heads(&k, KEY_DIM), heads(&v, VALUE_DIM), &positions).err())
        .expect("more than the limit");
    assert!(matches!(error, CacheError::PoolFull { limit: 40_000, .. }), "{error}");
}
