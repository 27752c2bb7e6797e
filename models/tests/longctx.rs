//! Test vectors of the long-context core, made by an independent f64 implementation.
//!
//! Runs over the project's own file and over every file named in `KILOBASE_EXTRA_VECTORS` (separated by colons) of the
//! same form, which may have other sizes. Every key of every case must be compared; an unknown case fails.
#![allow(clippy::print_stdout, reason = "a test says what it compared")]
#![allow(unreachable_pub, reason = "modules of a test")]

mod longctx {
    pub mod attention;
    pub mod decoding;
    pub mod mixers;
    pub mod policies;
    pub mod positions;
    pub mod select;
    pub mod vectors;
}

use longctx::vectors::Vectors;
use std::path::{Path, PathBuf};

/// What each area makes of a case: whether it knows it.
type Area = fn(&Vectors, &str) -> bool;

const AREAS: &[Area] = &[
    longctx::attention::check,
    longctx::decoding::check,
    longctx::mixers::check,
    longctx::policies::check,
    longctx::positions::check,
    longctx::select::check,
];

#[test]
fn every_key_of_every_case() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/longctx/vectors.json");
    let extra = std::env::var("KILOBASE_EXTRA_VECTORS").unwrap_or_default();
    let extra = extra.split(':').filter(|path| !path.is_empty()).map(PathBuf::from);
    for path in std::iter::once(own).chain(extra) {
        let vectors = Vectors::open(&path);
        for case in vectors.cases() {
            let known = AREAS.iter().any(|area| area(&vectors, &case));
            assert!(known, "{}: no test knows the case {case}", path.display());
        }
        let left = vectors.left();
        assert!(left.is_empty(), "{}: not compared: {left:?}", path.display());
        println!("{}: {} cases agree", path.display(), vectors.cases().len());
    }
}
