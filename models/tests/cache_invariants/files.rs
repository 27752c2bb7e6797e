//! Saved caches that are not what they should be: an error that says why, never a panic, never a wrong cache.

use std::path::Path;
use std::sync::OnceLock;

use kilobase_models::cache::{self, CacheError, FileFault, KvCache, PagePool, Pipeline, Store};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::decoder::{Decoder, Positions, cache, config, names, positions, spec, stages};

const LENGTH: usize = 40;

fn decoder() -> &'static Decoder {
    static DECODER: OnceLock<Decoder> = OnceLock::new();
    DECODER.get_or_init(|| Decoder::new(2, LENGTH + 8, 17))
}

/// A saved cache of every policy and store.
fn saved() -> &'static [(&'static str, Store, Vec<u8>)] {
    static SAVED: OnceLock<Vec<(&'static str, Store, Vec<u8>)>> = OnceLock::new();
    SAVED.get_or_init(|| {
        let all = names().into_iter().flat_map(|name| [(name, Store::F32), (name, Store::Int8)]);
        all.map(|(name, store)| {
            let positions = positions(name)[0];
            let mut cache = cache(name, 16, 2, positions, store);
            decoder().run(&mut cache, 0..LENGTH, &[17, 9, 1], &spec(positions));
            let directory = tempfile::tempdir().expect("a directory");
            let path = directory.path().join("cache");
            cache.save(&path).expect("a file");
            (name, store, std::fs::read(&path).expect("the file"))
        })
        .collect()
    })
}

fn load(path: &Path, name: &str, store: Store) -> Result<KvCache, FileFault> {
    let policy = Pipeline::new(stages(name, 16)).expect("one stage");
    let config = config(2, positions(name)[0], store);
    match KvCache::load(path, config, &PagePool::new(16), policy) {
        Ok(cache) => Ok(cache),
        Err(CacheError::File { fault, .. }) => Err(fault),
        Err(other) => panic!("{other}"),
    }
}

fn load_bytes(bytes: &[u8], name: &str, store: Store) -> Result<KvCache, FileFault> {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), bytes).expect("written");
    load(file.path(), name, store)
}

/// Makes the checksum that of the bytes before it.
fn seal(bytes: &mut [u8]) {
    if let Some((body, checksum)) = bytes.split_last_chunk_mut::<32>() {
        checksum.copy_from_slice(&Sha256::digest(body));
    }
}

/// What happens to a file.
#[derive(Clone, Debug)]
enum Damage {
    Cut(prop::sample::Index),
    Flip(prop::sample::Index, u8),
    Write(prop::sample::Index, u64),
    Add(Vec<u8>),
}

fn damage() -> impl Strategy<Value = Damage> {
    let number = prop_oneof![Just(u64::MAX), Just(1 << 32), Just(1 << 20), 0u64..100, any::<u64>()];
    prop_oneof![
        any::<prop::sample::Index>().prop_map(Damage::Cut),
        (any::<prop::sample::Index>(), 1u8..=255).prop_map(|(at, mask)| Damage::Flip(at, mask)),
        (any::<prop::sample::Index>(), number).prop_map(|(at, number)| Damage::Write(at, number)),
        prop::collection::vec(any::<u8>(), 1..40).prop_map(Damage::Add),
    ]
}

fn apply(bytes: &mut Vec<u8>, damage: &Damage) {
    match damage {
        _ if bytes.is_empty() => {}
        Damage::Cut(at) => bytes.truncate(at.index(bytes.len())),
        Damage::Flip(at, mask) => {
            let at = at.index(bytes.len());
            bytes[at] ^= mask;
        }
        Damage::Write(at, number) => {
            let at = at.index(bytes.len());
            let end = (at + 8).min(bytes.len());
            bytes[at..end].copy_from_slice(&number.to_le_bytes()[..end - at]);
        }
        Damage::Add(more) => bytes.extend(more),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damage_is_found(which: prop::sample::Index, damages in prop::collection::vec(damage(), 1..4)) {
        let (name, store, good) = which.get(saved());
        let mut bytes = good.clone();
        for damage in &damages {
            apply(&mut bytes, damage);
        }
        if bytes != *good {
            prop_assert!(load_bytes(&bytes, name, *store).is_err());
        }
    }

    #[test]
    fn any_content_is_survived(bytes in prop::collection::vec(prop_oneof![Just(0), Just(1), any::<u8>()], 0..200)) {
        cache::check(&bytes);
    }

    /// A file made to harm has a good checksum. It may load; then the cache works, whatever its numbers.
    #[test]
    fn sealed_damage_does_no_harm(which: prop::sample::Index, damages in prop::collection::vec(damage(), 1..4)) {
        let (name, store, good) = which.get(saved());
        let mut bytes = good.clone();
        for damage in &damages {
            apply(&mut bytes, damage);
        }
        seal(&mut bytes);
        if let Ok(mut cache) = load_bytes(&bytes, name, *store) {
            let next = cache.length().min(u32::MAX - 8);
            let spec = spec(positions(name)[0]);
            decoder().step_at(&mut cache, &[40, 41, 42], &[next, next + 1, next + 2], &spec);
            decoder().step_at(&mut cache, &[43], &[next + 3], &spec);
            cache.truncate(20).expect("memory for it");
        }
    }
}

#[test]
fn what_is_wrong_is_said() {
    let (name, store, good) = &saved()[0];
    let fault = |bytes: &[u8]| load_bytes(bytes, name, *store).expect_err("damaged").to_string();
    assert_eq!(fault(b"GATTACA"), "32 bytes are announced where 7 are left");
    assert_eq!(fault(&[b'G'; 100]), "not a saved key/value cache");
    let mut other = good.clone();
    other[8] = 9;
    assert_eq!(fault(&other), "version 9 of the format, this program reads 1");
    let mut other = good.clone();
    *other.last_mut().expect("bytes") ^= 1;
    assert_eq!(fault(&other), "the checksum does not match");
    let mut longer = good.clone();
    longer.extend([0; 5]);
    assert_eq!(fault(&longer), "5 bytes too many");
}

#[test]
fn other_settings_are_refused() {
    let (_, store, good) = &saved()[0];
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), good).expect("written");
    let path = file.path();
    let fault = |config, slots, policy: &str| {
        let policy = Pipeline::new(stages(policy, 16)).expect("stages");
        let error = KvCache::load(path, config, &PagePool::new(slots), policy).expect_err("other settings");
        error.to_string().replace(&path.display().to_string(), "FILE")
    };
    let shape = || config(2, Positions::Rotated, *store);
    let mut other = shape();
    other.model = "another".to_owned();
    assert_eq!(fault(other, 16, "none"), "FILE: the model is random decoder in the file and another here");
    let mut other = shape();
    other.kv_heads = 4;
    assert_eq!(fault(other, 16, "none"), "FILE: the number of key/value heads is 2 in the file and 4 here");
    assert_eq!(fault(shape(), 8, "none"), "FILE: the number of slots of a page is 16 in the file and 8 here");
    assert!(fault(shape(), 16, "h2o").starts_with("FILE: the policy is  in the file and h2o"));
    let raw = fault(config(2, Positions::Raw, *store), 16, "none");
    assert_eq!(raw, "FILE: the rotation of keys is half times 1 in the file and none here");
}

#[test]
fn a_file_appears_whole_or_not_at_all() {
    let directory = tempfile::tempdir().expect("a directory");
    let cache = cache("none", 0, 2, Positions::Raw, Store::F32);
    let error = cache.save(&directory.path().join("missing/cache")).expect_err("no such directory");
    assert!(matches!(error, CacheError::File { fault: FileFault::Io(_), .. }));
    cache.save(&directory.path().join("cache")).expect("a file");
    let names: Vec<_> = std::fs::read_dir(directory.path()).expect("a directory").collect();
    assert_eq!(names.len(), 1, "no temporary file is left");
}
