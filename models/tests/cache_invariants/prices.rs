//! What a policy says it will keep is what it keeps.

use kilobase_kernels::attention::KvView;
use kilobase_models::cache::{KvCache, PagePool, Pipeline, Store};

use super::decoder::{Decoder, KEY_DIM, LAYERS, config, cut, names, positions, spec, stages};

const KV_HEADS: usize = 2;
const PAGE: usize = 16;

#[test]
fn bytes_and_slots_are_known_before_the_work() {
    let (length, chunks) = (192, [40, 24, 64]);
    let decoder = Decoder::new(KV_HEADS, length, 5);
    for name in names() {
        for (store, budget) in [(Store::F32, 36), (Store::F32, 100), (Store::Bf16, 36), (Store::Int8, 36)] {
            let positions = positions(name)[0];
            let policy = Pipeline::new(stages(name, budget)).expect("one stage");
            let shape = config(KV_HEADS, positions, store);
            let mut cache =
                KvCache::new(shape.clone(), &PagePool::new(PAGE), policy.clone()).expect("it suits");
            let mut slots = [0; LAYERS];
            for chunk in cut(0..length, &chunks) {
                decoder.step(&mut cache, chunk.clone(), &spec(positions));
                for (layer, slots) in slots.iter_mut().enumerate() {
                    *slots = policy.kept(layer, *slots + chunk.len(), chunk.end as u32);
                    let narrowed = policy.narrowed(*slots, KEY_DIM);
                    let (told, is) = (shape.layer_bytes(PAGE, *slots, narrowed), cache.layer(layer).bytes());
                    let at = format!("{name} of {budget} as {store:?} after {}", chunk.end);
                    // Whole units of slots do not always fill the budget.
                    if name == "kvcrush-page" {
                        let filled = cache.layer(layer).positions(0).len();
                        assert!(filled <= *slots && filled + PAGE >= *slots, "{at}: {filled} of {slots}");
                        *slots = filled;
                    } else {
                        assert_eq!(told, is, "{at}");
                    }
                }
            }
            assert!(policy.reads(length) <= length && policy.reads(3) == 3, "{name}");
            if ["infllm", "infllm2", "hip", "mpcache", "squeezed", "lm-infinite"].contains(&name)
                && budget == 36
            {
                assert!(policy.reads(length) < length, "{name} reads everything");
            }
        }
    }
}
