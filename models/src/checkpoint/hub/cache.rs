//! The cache of one model, in the layout of `huggingface_hub`.
//!
//! `blobs/<etag>` are the files, `snapshots/<commit>/<name>` link to them, `refs/<revision>` holds the commit a branch or tag
//! meant when it was downloaded.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use hf_hub::{Cache, CacheRepo, Repo, RepoType};

use super::name::{ModelId, is_plain};
use crate::checkpoint::{CONFIG, source};

pub(super) struct ModelCache {
    repo: CacheRepo,
    revision: String,
}

impl ModelCache {
    pub(super) fn new(root: &Path, id: &ModelId) -> Self {
        let repo = Repo::with_revision(id.repo.clone(), RepoType::Model, id.revision.clone());
        Self { repo: Cache::new(root.to_owned()).repo(repo), revision: id.revision.clone() }
    }

    /// The directory of a commit.
    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.repo.pointer_path(commit)
    }

    fn root(&self) -> PathBuf {
        let mut path = self.snapshot("any");
        path.pop();
        path.pop();
        path
    }

    /// The file with that etag.
    pub(super) fn blob(&self, etag: &str) -> PathBuf {
        self.root().join("blobs").join(etag)
    }

    /// The snapshot the revision meant when it was last downloaded; a revision may also be the commit itself.
    pub(super) fn current(&self) -> Option<PathBuf> {
        let reference = fs::read_to_string(self.root().join("refs").join(&self.revision)).ok();
        let commit = reference.as_deref().map_or(self.revision.as_str(), str::trim);
        let snapshot = self.snapshot(commit);
        (is_plain(commit) && snapshot.is_dir()).then_some(snapshot)
    }

    /// Remembers what commit the revision means.
    pub(super) fn set_current(&self, commit: &str) -> io::Result<()> {
        // A commit needs no note of what it means.
        if self.revision == commit { Ok(()) } else { self.repo.create_ref(commit) }
    }

    /// Puts a downloaded file into a snapshot under its name.
    pub(super) fn link(&self, etag: &str, commit: &str, file: &str) -> io::Result<PathBuf> {
        let snapshot = self.snapshot(commit);
        fs::create_dir_all(&snapshot)?;
        let path = snapshot.join(file);
        if !path.exists() {
            // A link that leads nowhere is left when a blob is deleted by hand.
            fs::remove_file(&path).or_else(ignore_absent)?;
            link_file(&self.blob(etag), Path::new("../../blobs").join(etag).as_path(), &path)?;
        }
        Ok(path)
    }
}

#[cfg(unix)]
fn link_file(_: &Path, relative: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(relative, link)
}

#[cfg(not(unix))]
fn link_file(blob: &Path, _: &Path, link: &Path) -> io::Result<()> {
    fs::hard_link(blob, link).or_else(|_| fs::copy(blob, link).map(|_| ()))
}

fn ignore_absent(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// The first file a snapshot lacks to be opened, if any.
pub(super) fn missing_file(snapshot: &Path) -> Option<String> {
    if !snapshot.join(CONFIG).is_file() {
        return Some(CONFIG.to_owned());
    }
    let Some(source) = source::find(snapshot) else {
        return Some(source::SOURCES[0].file_name().to_owned());
    };
    let index = source.index()?;
    // A broken index is not missing: opening the directory says what is wrong with it.
    let index = source.read_index(&snapshot.join(index)).ok()?;
    index.shards().find(|shard| !snapshot.join(shard).is_file()).map(str::to_owned)
}
