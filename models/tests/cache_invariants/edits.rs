//! Edits of a cached sequence: what is exact, and what becomes exact when more is computed again.

use std::ops::Range;

use kilobase_kernels::attention::{AttnSpec, Heads, KvView};
use kilobase_models::cache::policy::Queries;
use kilobase_models::cache::policy::pie::{Edit, Refresh};
use kilobase_models::cache::{KvCache, LayerCache, Store};

use super::decoder::{Decoder, HEADS, KEY_DIM, LAYERS, cache, difference, names, positions, spec, stages};

const OLD: usize = 60;

fn edits() -> Vec<Edit> {
    let edit = |replaced: Range<u32>, inserted| Edit { replaced, inserted };
    vec![edit(10..12, 3), edit(20..20, 2), edit(30..35, 0), edit(40..41, 1), edit(58..60, 4)]
}

/// The tokens of the edited sequence; new ones come from after the old.
fn edited(edits: &[Edit]) -> Vec<usize> {
    let (mut tokens, mut done, mut new) = (Vec::new(), 0, OLD..);
    for Edit { replaced, inserted } in edits {
        tokens.extend(done..replaced.start as usize);
        tokens.extend(new.by_ref().take(*inserted as usize));
        done = replaced.end as usize;
    }
    tokens.extend(done..OLD);
    tokens
}

/// Keys and values of a layer in the order of positions.
fn content(layer: &LayerCache) -> Vec<f32> {
    let mut numbers = Vec::new();
    for head in 0..layer.heads() {
        let positions = layer.positions(head);
        let mut slots: Vec<usize> = (0..positions.len()).collect();
        slots.sort_by_key(|&slot| positions[slot]);
        assert!(slots.iter().enumerate().all(|(i, &slot)| positions[slot] as usize == i), "every position");
        let (mut key, mut value) = (vec![0.0; layer.key_dim()], vec![0.0; layer.value_dim()]);
        for slot in slots {
            layer.keys(head, slot..slot + 1, &mut key);
            layer.values(head, slot..slot + 1, &mut value);
            numbers.extend(key.iter().chain(&value));
        }
    }
    numbers
}

/// Edits the cache and runs what it asks for; returns the states of the last tokens run.
fn edit(decoder: &Decoder, cache: &mut KvCache, refresh: Refresh, spec: &AttnSpec) -> Vec<f32> {
    let tokens = edited(&edits());
    let mut states = Vec::new();
    for range in cache.edit(&edits(), refresh).expect("good edits") {
        let positions: Vec<u32> = range.clone().collect();
        let tokens = &tokens[range.start as usize..range.end as usize];
        states = decoder.step_at(cache, tokens, &positions, spec);
    }
    assert_eq!(cache.length() as usize, tokens.len());
    states
}

#[test]
fn the_first_layer_is_exact_and_the_others_when_all_is_refreshed() {
    let decoder = Decoder::new(2, OLD + 20, 11);
    let tokens = edited(&edits());
    let all: Vec<u32> = (0..tokens.len() as u32).collect();
    for positions in positions("none") {
        let spec = spec(positions);
        let build = || cache("none", 0, 2, positions, Store::F32);
        let mut old = build();
        decoder.run(&mut old, 0..OLD, &[13], &spec);
        let mut fresh = build();
        let expected = decoder.step_at(&mut fresh, &tokens, &all, &spec);

        let mut moved = old.fork();
        edit(&decoder, &mut moved, Refresh::None, &spec);
        let error =
            |cache: &KvCache, layer| difference(&content(cache.layer(layer)), &content(fresh.layer(layer)));
        assert!(error(&moved, 0) < 1e-5, "{positions:?}: {:e}", error(&moved, 0));
        assert!(error(&moved, 1) > 1e-3, "deeper layers are approximate");

        let mut near = old.fork();
        edit(&decoder, &mut near, Refresh::Next(8), &spec);
        assert!(error(&near, 2) < error(&moved, 2), "refreshing helps");

        let mut whole = old.fork();
        let states = edit(&decoder, &mut whole, Refresh::Next(u32::MAX), &spec);
        for layer in 0..LAYERS {
            assert!(error(&whole, layer) < 1e-5, "{positions:?}: {:e}", error(&whole, layer));
        }
        assert!(difference(&states, &expected[expected.len() - states.len()..]) < 1e-5);
    }
}

/// Whether policies choose for the next query as others would that have not seen how the cache came about.
fn assert_remembers_what_there_is(cache: &mut KvCache, name: &str, spec: &AttnSpec) {
    let q: Vec<f32> = (0..HEADS * KEY_DIM).map(|i| ((i * i) as f32).sin()).collect();
    let next = [cache.length()];
    let queries = Queries { q: Heads::contiguous(&q, 1, HEADS, KEY_DIM), positions: &next, spec };
    for layer in 0..LAYERS {
        let ours = cache.select(layer, queries);
        let fresh = stages(name, 24).iter_mut().find_map(|stage| {
            stage.on_append(layer, cache.layer(layer), 0);
            stage.select(layer, queries, cache.layer(layer))
        });
        assert_eq!(ours, fresh, "{name}: layer {layer}");
    }
}

#[test]
fn evicted_caches_can_be_edited_too() {
    let decoder = Decoder::new(2, OLD + 40, 11);
    for name in names().into_iter().filter(|name| !["infllm", "squeezed", "think"].contains(name)) {
        for positions in positions(name) {
            let spec = spec(positions);
            let mut cache = cache(name, 24, 2, positions, Store::F32);
            decoder.run(&mut cache, 0..OLD, &[20, 7, 1], &spec);
            edit(&decoder, &mut cache, Refresh::Next(2), &spec);
            for layer in 0..LAYERS {
                for head in 0..2 {
                    let mut places = cache.layer(layer).positions(head).to_vec();
                    places.sort_unstable();
                    let slots = places.len();
                    places.dedup();
                    assert_eq!(places.len(), slots, "{name}: a position twice");
                    assert!(places.last().is_none_or(|&last| last < cache.length()), "{name}");
                }
            }
            let next = cache.length();
            let states = decoder.step_at(&mut cache, &[1, 2], &[next, next + 1], &spec);
            assert!(states.iter().all(|x| x.is_finite()), "{name}");
            assert_remembers_what_there_is(&mut cache, name, &spec);
            // Other tokens at the same positions.
            let same_length = [Edit { replaced: 3..20, inserted: 17 }];
            cache.edit(&same_length, Refresh::None).expect("a good edit");
            decoder.step_at(&mut cache, &(63..80).collect::<Vec<_>>(), &(3..20).collect::<Vec<_>>(), &spec);
            assert_remembers_what_there_is(&mut cache, name, &spec);
        }
    }
}
