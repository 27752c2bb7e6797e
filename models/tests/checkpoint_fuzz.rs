//! Random and randomly damaged files: no panic, and no more memory than a file of that size can need.

#[path = "checkpoint/fixture.rs"]
mod fixture;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use kilobase_models::checkpoint::{self, Checkpoint};
use proptest::prelude::*;
use serde_json::json;

/// The system's allocator, counting per thread so that tests do not see each other.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(change: isize) {
    // Fails only while a thread is being torn down, when nothing is measured.
    let _ = HELD.try_with(|held| {
        held.set(held.get() + change);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(held.get())));
    });
}

// SAFETY: every request is passed to the system's allocator unchanged, and so are its answers.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promise is the one asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promise is the one asked for.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `run` holds at most beyond what was held before.
fn peak<T>(run: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    PEAK.set(before);
    let result = run();
    (result, (PEAK.get() - before) as usize)
}

/// A file of `len` bytes may inflate sixty-fourfold and widen fourfold; the rest is buffers.
fn check(name: &str, bytes: &[u8]) -> Result<(), TestCaseError> {
    let model = fixture::model(&[(name, bytes)]);
    let (_, peak) = peak(|| checkpoint::check(model.path()));
    let bound = 4 * 64 * bytes.len() + (8 << 20);
    prop_assert!(peak <= bound, "{peak} bytes for a file of {}", bytes.len());
    Ok(())
}

fn small_safetensors() -> Vec<u8> {
    let header = json!({
        "__metadata__": {"format": "pt"},
        "a": fixture::info(&[2, 3], 0, 24),
        "b": {"dtype": "BF16", "shape": [4], "data_offsets": [24, 32]},
        "c": {"dtype": "I64", "shape": [], "data_offsets": [32, 40]},
    });
    fixture::safetensors(header.to_string().as_bytes(), &[7; 40])
}

fn small_pickle() -> Vec<u8> {
    let tensor: &[u8] = b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x06tQ\
        K\x00K\x03K\x02\x86K\x01K\x03\x86\x89ccollections\nOrderedDict\n)RtR";
    [b"\x80\x02ccollections\nOrderedDict\n)Rq\0(X\x01\0\0\0w", tensor, b"u."].concat()
}

fn damage() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6)
}

fn damaged(mut bytes: Vec<u8>, damage: &[(prop::sample::Index, u8)]) -> Vec<u8> {
    for (at, value) in damage {
        let at = at.index(bytes.len());
        bytes[at] = *value;
    }
    bytes
}

#[test]
fn the_undamaged_files_are_good() {
    let model = fixture::model(&[("model.safetensors", &small_safetensors())]);
    assert_eq!(checkpoint::check(model.path()).unwrap(), 10);
    let model = fixture::model(&[("pytorch_model.bin", &fixture::archive(&small_pickle(), &[&[0; 24]]))]);
    assert_eq!(checkpoint::check(model.path()).unwrap(), 6);
}

#[test]
fn loading_takes_one_tensor_beyond_what_is_kept() {
    for name in ["model.safetensors", "pytorch_model.bin"] {
        let bytes = fixture::bytes(name);
        let model = fixture::model(&[(name, &bytes)]);
        let (checkpoint, opening) = peak(|| Checkpoint::open(model.path()).unwrap());
        assert!(opening < 1 << 19, "opening {name} takes {opening} bytes");
        let weights = checkpoint.weights();
        let (values, reading) = peak(|| weights.read_f32("bert.embeddings.word_embeddings.weight").unwrap());
        assert!(reading <= 4 * values.len() + (1 << 19), "reading from {name} takes {reading} bytes");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        check("model.safetensors", &bytes)?;
        check("pytorch_model.bin", &bytes)?;
        check("pytorch_model.bin", &[b"PK\x03\x04", &bytes[..]].concat())?;
        check("model.safetensors", &fixture::safetensors(&bytes, &[]))?;
        check("model.safetensors.index.json", &bytes)?;
        check("config.json", &bytes)?;
    }

    #[test]
    fn random_pickles_are_survived(bytes in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"()}]NKq\0h\0tusaeR0bQ2.\x85\x86\x94".to_vec())], 0..200)) {
        check("pytorch_model.bin", &fixture::archive(&bytes, &[&[0; 24]]))?;
        check("pytorch_model.bin", &fixture::archive(&[b"\x80\x02", &bytes[..], b"."].concat(), &[&[0; 24]]))?;
    }

    #[test]
    fn damaged_safetensors_are_survived(damage in damage(), cut in any::<prop::sample::Index>(), whole in any::<bool>()) {
        let bytes = damaged(small_safetensors(), &damage);
        let len = if whole { bytes.len() } else { cut.index(bytes.len()) };
        check("model.safetensors", &bytes[..len])?;
    }

    #[test]
    fn what_is_accepted_the_safetensors_crate_accepts(damage in damage()) {
        let bytes = damaged(small_safetensors(), &damage);
        if fixture::open("model.safetensors", &bytes).is_ok() {
            prop_assert!(safetensors::SafeTensors::deserialize(&bytes).is_ok());
        }
    }

    #[test]
    fn damaged_archives_are_survived(damage in damage(), cut in any::<prop::sample::Index>(), whole in any::<bool>(), deflate in any::<bool>()) {
        let method = if deflate { zip::CompressionMethod::Deflated } else { zip::CompressionMethod::Stored };
        let entries: &[(&str, &[u8])] = &[("m/data.pkl", &small_pickle()), ("m/byteorder", b"little"), ("m/data/0", &[0; 24])];
        let bytes = damaged(fixture::zip(entries, method), &damage);
        let len = if whole { bytes.len() } else { cut.index(bytes.len()) };
        check("pytorch_model.bin", &bytes[..len])?;
    }

    #[test]
    fn damaged_pickles_are_survived(damage in damage()) {
        let pickle = damaged(small_pickle(), &damage);
        check("pytorch_model.bin", &fixture::archive(&pickle, &[&[0; 24]]))?;
    }
}
