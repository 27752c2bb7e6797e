//! The folder of a run: checkpoints that appear whole, the newest few of them, and a lock.
//!
//! A checkpoint is a folder `step-000000100` with the model as a Hugging Face directory, and beside it what training needs to go
//! on. It is written under another name, brought to the disk and renamed, so one that has its name is whole.

use super::Error;
use kilobase_data::export::AtomicFolder;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

/// How unfinished checkpoints and models begin.
const TEMPORARY: &str = ".kilobase-step-";
/// How unfinished files end, which begin with a full stop.
const UNFINISHED: [&str; 2] = [".tmp", ".partial"];
/// How finished ones begin.
const PREFIX: &str = "step-";
/// The file whose lock says that a run is at work.
const LOCK: &str = ".kilobase-lock";

/// A run's folder.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    keep: usize,
    /// Held for as long as the run is at work.
    _lock: File,
}

impl Store {
    /// Opens a folder, which is made if it is not there, and clears away what a killed run left unfinished.
    pub fn open(folder: &Path, keep: usize) -> Result<Self, Error> {
        fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let path = folder.join(LOCK);
        let lock = File::create(&path).map_err(Error::io(&path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Busy { path: folder.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(Error::Io { path, source }),
        }
        let store = Self { folder: folder.to_owned(), keep, _lock: lock };
        for (name, path) in entries(folder)? {
            if name.starts_with(TEMPORARY) {
                fs::remove_dir_all(&path).map_err(Error::io(&path))?;
            } else if name.starts_with('.') && UNFINISHED.iter().any(|end| name.ends_with(end)) {
                fs::remove_file(&path).map_err(Error::io(&path))?;
            }
        }
        Ok(store)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The checkpoints, newest first.
    pub fn checkpoints(&self) -> Result<Vec<(u64, PathBuf)>, Error> {
        checkpoints(&self.folder)
    }

    /// Removes all checkpoints.
    pub fn clear(&self) -> Result<(), Error> {
        for (_, path) in self.checkpoints()? {
            remove(&path)?;
        }
        Ok(())
    }

    /// Where the checkpoint of a step lies, if there is one.
    pub fn checkpoint(&self, step: u64) -> PathBuf {
        self.folder.join(format!("{PREFIX}{step:09}"))
    }

    /// Makes a checkpoint of what `write` puts into a folder, and removes the oldest ones but those that are `kept`.
    pub fn save(
        &self,
        step: u64,
        kept: impl Fn(u64) -> bool,
        write: impl FnOnce(&Path) -> Result<(), Error>,
    ) -> Result<PathBuf, Error> {
        let path = self.checkpoint(step);
        // Dropped on an error, and with it what was written so far.
        let folder = AtomicFolder::create(&path).map_err(Error::io(&self.folder))?;
        write(folder.path())?;
        if path.exists() {
            remove(&path)?;
        }
        folder.commit().map_err(Error::io(&path))?;
        for (_, old) in self.checkpoints()?.into_iter().skip(self.keep).filter(|(step, _)| !kept(*step)) {
            remove(&old)?;
        }
        Ok(path)
    }

    /// Makes a folder of another name, on the same file system, of what `write` puts into it.
    pub fn publish(&self, path: &Path, write: impl FnOnce(&Path) -> Result<(), Error>) -> Result<(), Error> {
        let folder = AtomicFolder::create(self.folder.join("step-model")).map_err(Error::io(&self.folder))?;
        write(folder.path())?;
        folder.commit_to(path).map_err(Error::io(path))
    }
}

fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>, Error> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let entry = entry.map_err(Error::io(folder))?;
        all.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
    }
    Ok(all)
}

/// The checkpoints of a run's folder, newest first.
pub fn checkpoints(folder: &Path) -> Result<Vec<(u64, PathBuf)>, Error> {
    let step = |(name, path): (String, PathBuf)| Some((name.strip_prefix(PREFIX)?.parse().ok()?, path));
    let mut all: Vec<(u64, PathBuf)> = entries(folder)?.into_iter().filter_map(step).collect();
    all.sort_unstable_by_key(|(step, _)| std::cmp::Reverse(*step));
    Ok(all)
}

/// Refuses a checkpoint of another run: `found` is the plan that it holds. Only what these keys say decides.
pub fn check_same(path: &Path, found: &Value, plan: &Value, keys: &[&'static str]) -> Result<(), Error> {
    for &what in keys {
        // What was written and read, as what it is compared with: a reader of JSON may round numbers.
        let expected = serde_json::from_str(&plan[what].to_string()).expect("JSON is always JSON");
        let found = &found[what];
        if *found != expected {
            let (found, expected) = differing(found, &expected);
            return Err(Error::OtherRun { path: path.to_owned(), what, found, expected });
        }
    }
    Ok(())
}

/// The parts that differ, named by their keys.
fn differing(found: &Value, expected: &Value) -> (String, String) {
    if let (Value::Object(a), Value::Object(b)) = (found, expected) {
        for key in a.keys().chain(b.keys()) {
            let (a, b) = (a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null));
            if a != b {
                let (a, b) = differing(a, b);
                return (format!("{key} {a}"), format!("{key} {b}"));
            }
        }
    }
    (found.to_string(), expected.to_string())
}

/// Takes the name away first: what is half removed has no checkpoint's name.
fn remove(path: &Path) -> Result<(), Error> {
    let parent = path.parent().expect("a checkpoint lies in a folder");
    let name = path.file_name().expect("a checkpoint has a name").to_string_lossy().into_owned();
    let old = parent.join(format!("{TEMPORARY}{name}.old"));
    fs::rename(path, &old).map_err(Error::io(path))?;
    fs::remove_dir_all(&old).map_err(Error::io(&old))
}

/// Writes a file and brings it to the disk; for files of a checkpoint that is not finished.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut file = File::create(path).map_err(Error::io(path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(Error::io(path))
}

/// Reads a JSON file of a checkpoint.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let bytes = fs::read(path).map_err(Error::io(path))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Error::Damaged { path: path.to_owned(), reason: error.to_string() })
}

/// A number that is read back with the same bits: written as text, since JSON readers may round.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Exact(pub f64);

impl From<Exact> for String {
    fn from(exact: Exact) -> Self {
        format!("{:e}", exact.0)
    }
}

impl TryFrom<String> for Exact {
    type Error = std::num::ParseFloatError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != LOCK)
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_newest_are_kept_and_failures_leave_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 2).unwrap();
        for step in [1, 2, 10, 3] {
            store.save(step, |_| false, |path| write_file(&path.join("a"), b"a")).unwrap();
        }
        assert_eq!(names(folder.path()), ["step-000000003", "step-000000010"]);
        let failed = store.save(
            11,
            |_| false,
            |path| {
                write_file(&path.join("a"), b"half")?;
                Err(Error::recipe("a", "full"))
            },
        );
        assert!(failed.is_err());
        assert_eq!(names(folder.path()), ["step-000000003", "step-000000010"]);
        assert_eq!(store.checkpoints().unwrap()[0].0, 10);
        store.save(12, |step| step == 3, |path| write_file(&path.join("a"), b"a")).unwrap();
        assert_eq!(names(folder.path()), ["step-000000003", "step-000000010", "step-000000012"]);
    }

    #[test]
    fn leftovers_are_cleared_and_two_runs_do_not_share_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join(".kilobase-step-x/sub")).unwrap();
        fs::write(folder.path().join(".kilobase-x.tmp"), "half").unwrap();
        fs::write(folder.path().join(".x.partial"), "half").unwrap();
        let store = Store::open(folder.path(), 1).unwrap();
        assert!(names(folder.path()).is_empty());
        assert!(matches!(Store::open(folder.path(), 1), Err(Error::Busy { .. })));
        drop(store);
        Store::open(folder.path(), 1).unwrap();
    }

    #[test]
    fn numbers_keep_their_bits() {
        for x in [0.1 + 0.2, 1.0 / 3.0, f64::MAX, 5e-324, 1e23] {
            let text = serde_json::to_string(&Exact(x)).unwrap();
            assert_eq!(serde_json::from_str::<Exact>(&text).unwrap().0.to_bits(), x.to_bits(), "{text}");
        }
    }
}
