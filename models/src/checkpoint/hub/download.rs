//! Which files make a model, and filling a snapshot with them.

use std::path::{Path, PathBuf};

use super::{
    DEFAULT_ENDPOINT, HubFault, Options,
    cache::{ModelCache, missing_file},
    name::ModelId,
    transfer::{Hub, PATIENCE, Remote, TransferError},
};
use crate::checkpoint::{CONFIG, Error, source::SOURCES};

/// What is taken beside the configuration if it exists.
const OPTIONAL: [&str; 5] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "special_tokens_map.json",
    "generation_config.json",
];

/// The largest file that is taken, weights aside. A tokenizer of a quarter million tokens has about 20 MB.
const MAX_SMALL: u64 = 64 << 20;

/// The largest file of weights that is taken; the hub splits at a tenth of it.
const MAX_WEIGHTS: u64 = 512 << 30;

/// The directory of a model, complete.
pub(super) fn snapshot(name: &str, id: &ModelId, options: Options<'_>) -> Result<PathBuf, Error> {
    let fail = |fault| Error::Hub { name: name.to_owned(), fault };
    let root = options.cache.clone().ok_or_else(|| fail(HubFault::NoCache))?;
    let cache = ModelCache::new(&root, id);
    let current = cache.current();
    let missing = current.as_deref().map_or_else(|| Some(CONFIG.to_owned()), missing_file);
    match (current, missing) {
        (Some(snapshot), None) => Ok(snapshot),
        (_, Some(file)) if options.offline => Err(fail(HubFault::Offline { file, cache: root })),
        _ => Download::new(name, id, &cache, options).run(),
    }
}

struct Download<'a, 'p> {
    name: &'a str,
    revision: &'a str,
    cache: &'a ModelCache,
    hub: Hub<'p>,
    /// The commit all files are taken from, once the first answer has named it.
    commit: Option<String>,
}

impl<'a, 'p> Download<'a, 'p> {
    fn new(name: &'a str, id: &'a ModelId, cache: &'a ModelCache, options: Options<'p>) -> Self {
        let endpoint = options.endpoint.unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        let timeout = options.timeout.unwrap_or(PATIENCE);
        let hub = Hub::new(endpoint, id.repo.clone(), options.token, timeout, options.progress);
        Self { name, revision: &id.revision, cache, hub, commit: None }
    }

    fn run(mut self) -> Result<PathBuf, Error> {
        if self.file(CONFIG, MAX_SMALL)?.is_none() {
            return Err(self.fail(HubFault::NotKnown { endpoint: self.hub.endpoint().to_owned() }));
        }
        for file in OPTIONAL {
            self.file(file, MAX_SMALL)?;
        }
        self.weights()?;
        // Only now: a revision is not to mean a snapshot that is incomplete.
        let commit = self.commit.as_deref().expect("the answer for the configuration named it");
        let snapshot = self.cache.snapshot(commit);
        self.cache.set_current(commit).map_err(|source| Error::Io { path: snapshot.clone(), source })?;
        Ok(snapshot)
    }

    /// Downloads the best of the ways in which the weights are there.
    fn weights(&mut self) -> Result<(), Error> {
        for source in SOURCES {
            let limit = if source.index().is_some() { MAX_SMALL } else { MAX_WEIGHTS };
            let Some(path) = self.file(source.file_name(), limit)? else { continue };
            if source.index().is_some() {
                for shard in source.read_index(&path)?.shards() {
                    if self.file(shard, MAX_WEIGHTS)?.is_none() {
                        let endpoint = self.hub.endpoint().to_owned();
                        return Err(self.fail(HubFault::Status {
                            endpoint,
                            file: shard.to_owned(),
                            status: 404,
                        }));
                    }
                }
            }
            return Ok(());
        }
        let looked_for = SOURCES.iter().map(|source| source.file_name()).collect();
        Err(self.fail(HubFault::NoWeights { endpoint: self.hub.endpoint().to_owned(), looked_for }))
    }

    /// Downloads a file into the snapshot, unless it is there; none if the model has no such file.
    fn file(&mut self, file: &str, limit: u64) -> Result<Option<PathBuf>, Error> {
        let revision = self.commit.as_deref().unwrap_or(self.revision);
        let remote = self.hub.describe(revision, file).map_err(|fault| self.fail(fault))?;
        let Some(Remote { etag, commit }) = remote else { return Ok(None) };
        if self.commit.as_ref().is_some_and(|pinned| *pinned != commit) {
            return Err(self.fail(HubFault::Header {
                file: file.to_owned(),
                header: "x-repo-commit",
                value: commit,
            }));
        }
        let blob = self.cache.blob(&etag);
        if !blob.is_file() {
            self.blob(file, &commit, &etag, &blob, limit)?;
        }
        let io_error = |source| Error::Io { path: blob.clone(), source };
        let path = self.cache.link(&etag, &commit, file).map_err(io_error)?;
        self.commit = Some(commit);
        Ok(Some(path))
    }

    fn blob(&mut self, file: &str, commit: &str, etag: &str, blob: &Path, limit: u64) -> Result<(), Error> {
        self.hub.download(commit, file, etag, blob, limit).map_err(|error| match error {
            TransferError::Hub(fault) => self.fail(fault),
            TransferError::Io(source) => Error::Io { path: blob.to_owned(), source },
        })
    }

    fn fail(&self, fault: HubFault) -> Error {
        Error::Hub { name: self.name.to_owned(), fault }
    }
}
