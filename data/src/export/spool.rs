use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Seek, SeekFrom, Write},
    marker::PhantomData,
    path::{Path, PathBuf},
};

use serde_json::Value;
use tempfile::TempDir;

use super::{AtomicFile, Error, Format, Item, Result, Stretch, atomic};

mod finish;
mod plan;
mod read;
mod recover;

pub(crate) use finish::remove_if_there;
pub use finish::{Finish, index_path, metadata_path};
pub use read::Rows;

const LOCK: &str = "lock";
const PLAN: &str = "plan.json";
const INDEX: &str = "index.jsonl";
const VALUES: &str = "rows.f32";

/// Rows of numbers on their way to a file, kept in the folder `<OUT>.partial` so that a killed run can go on.
///
/// The folder holds `plan.json` (what the run was asked to do), `rows.f32` (the numbers, little endian) and
/// `index.jsonl` (one line for each item). Numbers reach the disk before the line that speaks of them, so a line in the
/// index means a result that is there.
#[derive(Debug)]
pub struct Spool<I = Stretch> {
    out: PathBuf,
    folder: PathBuf,
    width: usize,
    items: u64,
    rows: u64,
    index_bytes: u64,
    index: File,
    values: File,
    // Held, not used: the lock goes with the file, the folder of a scratch spool with its value.
    lock: File,
    _scratch: Option<TempDir>,
    item: PhantomData<fn() -> I>,
}

impl<I: Item> Spool<I> {
    /// Begins the results that will become `out`, or goes on with those of an earlier run.
    ///
    /// `plan` is all that decides the results: inputs, model, options. An earlier run with another plan is an error that
    /// names what differs. [`items`](Self::items) tells how much is done.
    pub fn open(out: &Path, plan: &Value, width: usize) -> Result<Self> {
        let folder = folder_of(out);
        // Only the folder itself: a misspelt path to the output is an error, not a new tree.
        match fs::create_dir(&folder) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(Error::io(folder)(error)),
            _ => {}
        }
        let lock = take_lock(&folder)?;
        let plan = plan::wrap(plan, width)?;
        let saved = plan::read(&folder)?;
        if let Some(saved) = &saved {
            plan::compare(&folder, saved, &plan)?;
        }
        let mut spool = Self {
            out: out.to_owned(),
            width,
            items: 0,
            rows: 0,
            index_bytes: 0,
            index: open_file(&folder.join(INDEX))?,
            values: open_file(&folder.join(VALUES))?,
            folder,
            lock,
            _scratch: None,
            item: PhantomData,
        };
        if saved.is_some() {
            spool.recover()?;
        } else {
            // The plan is written last and before the first row: without it, nothing in the folder was ever complete.
            spool.rewind()?;
            plan::write(&spool.folder, &plan)?;
        }
        Ok(spool)
    }

    /// Throws away what an earlier run left for `out`, whatever its plan, and begins anew.
    pub fn restart(out: &Path, plan: &Value, width: usize) -> Result<Self> {
        let folder = folder_of(out);
        if folder.exists() {
            let lock = take_lock(&folder)?;
            remove(&folder, lock)?;
        }
        Self::open(out, plan, width)
    }

    /// Results that become no file of their own: kept in a temporary folder, which goes with the value, until
    /// [`write`](Self::write) brings them to standard output.
    pub fn scratch(width: usize) -> Result<Self> {
        let folder = tempfile::tempdir().map_err(Error::io(std::env::temp_dir()))?;
        let spool = Self::open(&folder.path().join("rows"), &Value::Null, width)?;
        Ok(Self { _scratch: Some(folder), ..spool })
    }

    /// Items that are complete. A run that goes on skips as many of its input.
    pub fn items(&self) -> u64 {
        self.items
    }

    /// Rows that are complete.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Numbers in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The file that the results will become.
    pub(crate) fn out(&self) -> &Path {
        &self.out
    }

    /// The folder that holds the results until they are finished.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Adds items and their rows, one after the other. When this returns, they are on the disk; when it fails, they are
    /// not part of the results, and the call may be made again.
    pub fn append(&mut self, items: &[I], rows: &[f32]) -> Result<()> {
        let count: u64 = items.iter().map(Item::rows).sum();
        if Some(rows.len()) != (count as usize).checked_mul(self.width) {
            return Err(Error::Shape { values: rows.len(), rows: count, width: self.width });
        }
        let mut lines = Vec::new();
        for item in items {
            serde_json::to_writer(&mut lines, item)?;
            lines.push(b'\n');
        }
        // What an earlier call may have left half written.
        self.rewind()?;
        write_values(&mut self.values, rows)
            .and_then(|()| self.values.sync_data())
            .map_err(Error::io(self.folder.join(VALUES)))?;
        self.index
            .write_all(&lines)
            .and_then(|()| self.index.sync_data())
            .map_err(Error::io(self.folder.join(INDEX)))?;
        self.items += items.len() as u64;
        self.rows += count;
        self.index_bytes += lines.len() as u64;
        Ok(())
    }

    /// Cuts both files to what is complete, and places the next write there.
    fn rewind(&mut self) -> Result<()> {
        let values = self.rows * self.width as u64 * 4;
        for (file, name, length) in
            [(&mut self.values, VALUES, values), (&mut self.index, INDEX, self.index_bytes)]
        {
            file.set_len(length)
                .and_then(|()| file.seek(SeekFrom::Start(length)))
                .map_err(Error::io(self.folder.join(name)))?;
        }
        Ok(())
    }

    /// Removes the folder and what it holds.
    pub fn discard(self) -> Result<()> {
        let Self { folder, lock, index, values, .. } = self;
        // Some systems do not remove what is open.
        drop((index, values));
        remove(&folder, lock)
    }
}

fn folder_of(out: &Path) -> PathBuf {
    with_suffix(out, ".partial")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn open_file(path: &Path) -> Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(Error::io(path))
}

fn take_lock(folder: &Path) -> Result<File> {
    let path = folder.join(LOCK);
    let file = open_file(&path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(Error::Locked { folder: folder.to_owned() }),
        // Some cluster file systems have no locks; a run there is not worse off than without this check.
        Err(fs::TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => Ok(file),
        Err(fs::TryLockError::Error(error)) => Err(Error::io(path)(error)),
    }
}

/// Removes our files and then the folder, so that a folder with anything else in it stays.
fn remove(folder: &Path, lock: File) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let entry = entry.map_err(Error::io(folder))?;
        let name = entry.file_name();
        let ours = [PLAN, INDEX, VALUES].iter().any(|ours| name == *ours)
            || name.to_str().is_some_and(|name| name.starts_with(atomic::TEMPORARY));
        if ours {
            fs::remove_file(entry.path()).map_err(Error::io(entry.path()))?;
        }
    }
    drop(lock);
    let lock = folder.join(LOCK);
    fs::remove_file(&lock).map_err(Error::io(&lock))?;
    fs::remove_dir(folder).map_err(Error::io(folder))
}

fn write_values(out: &mut dyn Write, values: &[f32]) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(4 * values.len().min(1 << 16));
    for chunk in values.chunks(1 << 16) {
        bytes.clear();
        bytes.extend(chunk.iter().flat_map(|value| value.to_le_bytes()));
        out.write_all(&bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
