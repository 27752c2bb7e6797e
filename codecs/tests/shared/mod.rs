//! Where the larger test data lie: a folder `shared` beside the repository, which not every checkout has.

use std::path::{Path, PathBuf};

/// A folder of the larger test data; says so when it is absent and the test has nothing to check.
#[expect(clippy::print_stderr, reason = "a test that checks nothing must say so")]
pub(crate) fn folder(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared").join(name);
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("SKIPPED: {} is not there", path.display());
    None
}
