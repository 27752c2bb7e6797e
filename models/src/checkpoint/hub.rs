//! From a model's name to a directory: a local one, or a snapshot in the Hugging Face cache, filled from the hub if need be.
//!
//! The cache has the layout of `huggingface_hub` and the `hf-hub` crate, whose types name its folders, so that models already
//! downloaded are found and ours are found by others. The transfer is done here: `hf-hub` 0.5 takes the server's etag and
//! commit for paths unchecked, stores a file of another size than announced, sends the token to wherever it is redirected,
//! and waits for a silent server for ever.
//!
//! Only configuration, tokenizer and weights are fetched, never code.

#[cfg(feature = "hub")]
mod cache;
#[cfg(feature = "hub")]
mod download;
mod name;
#[cfg(feature = "hub")]
mod transfer;

use std::{
    env, fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use thiserror::Error;

use super::Error;
use name::ModelId;

/// Where models come from when nothing else is said.
#[cfg(feature = "hub")]
const DEFAULT_ENDPOINT: &str = "https://huggingface.co";

/// Why a model's name could not be turned into a directory.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HubFault {
    /// The name is neither a directory nor the name of a model.
    #[error("neither a directory nor a model's name (owner/name or owner/name@revision)")]
    NoSuchName,
    /// There is no such directory.
    #[error("no such directory")]
    NoSuchDirectory,
    /// This build cannot download.
    #[error("no such directory, and this build cannot download (feature `hub`)")]
    NotBuilt,
    /// No place for the cache is known.
    #[error("no place for downloads: set HF_HOME")]
    NoCache,
    /// Offline, and the cache lacks a file.
    #[error("offline, and {file} is not in the cache {}", cache.display())]
    Offline {
        /// The file.
        file: String,
        /// The cache.
        cache: PathBuf,
    },
    /// The hub knows no such model or revision.
    #[error("not known to {endpoint}")]
    NotKnown {
        /// The hub.
        endpoint: String,
    },
    /// The model is private, gated or does not exist; the hub does not say which.
    #[error("{endpoint} refuses (status {status}): a private, gated or unknown model; HF_TOKEN may help")]
    Refused {
        /// The hub.
        endpoint: String,
        /// The HTTP status.
        status: u16,
    },
    /// The model has no weights that are read.
    #[error("none of {} on {endpoint}", looked_for.join(", "))]
    NoWeights {
        /// The hub.
        endpoint: String,
        /// The names that would have served.
        looked_for: Vec<&'static str>,
    },
    /// The hub does not answer.
    #[error("{endpoint} cannot be reached: {source}")]
    Unreachable {
        /// The hub.
        endpoint: String,
        /// What went wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The hub answers with an error.
    #[error("{file}: {endpoint} answers with status {status}")]
    Status {
        /// The hub.
        endpoint: String,
        /// The file asked for.
        file: String,
        /// The HTTP status.
        status: u16,
    },
    /// A header of the answer is missing or not to be trusted.
    #[error("{file}: header {header} of the answer is {value:?}")]
    Header {
        /// The file asked for.
        file: String,
        /// The header.
        header: &'static str,
        /// Its value, empty if missing.
        value: String,
    },
    /// A file is larger than files of its kind are.
    #[error("{file}: {size} bytes, the limit is {limit}")]
    TooLarge {
        /// The file.
        file: String,
        /// Its size.
        size: u64,
        /// The most that is fetched.
        limit: u64,
    },
    /// A file did not arrive in full, or went on beyond its end.
    #[error("{file}: {received} bytes arrived, {announced} were announced")]
    Size {
        /// The file.
        file: String,
        /// The bytes announced.
        announced: u64,
        /// The bytes that arrived.
        received: u64,
    },
    /// A file is not the one announced.
    #[error("{file}: SHA-256 is {found}, {announced} was announced")]
    Digest {
        /// The file.
        file: String,
        /// The digest announced.
        announced: String,
        /// The digest of what arrived.
        found: String,
    },
}

impl HubFault {
    /// Whether something is missing rather than wrong.
    pub fn is_missing_resource(&self) -> bool {
        !matches!(
            self,
            Self::Status { .. }
                | Self::Header { .. }
                | Self::TooLarge { .. }
                | Self::Size { .. }
                | Self::Digest { .. }
        )
    }
}

/// Told how a download goes on.
pub trait Progress {
    /// A file of `size` bytes begins, of which `present` are there from an interrupted download.
    fn start(&mut self, file: &str, size: u64, present: u64);

    /// So many bytes more arrived.
    fn advance(&mut self, bytes: u64);

    /// The file is complete.
    fn finish(&mut self, file: &str);
}

/// How models are looked for.
#[derive(Default)]
pub struct Options<'a> {
    /// Take only what is in the cache.
    pub offline: bool,
    /// The cache; none where no home directory is known.
    pub cache: Option<PathBuf>,
    /// Another hub than huggingface.co, such as `https://hub.example.org`.
    pub endpoint: Option<String>,
    /// The user's secret, for private models.
    pub token: Option<String>,
    /// How long the hub may stay silent; half a minute if not given.
    pub timeout: Option<Duration>,
    /// Whom to tell about downloads.
    pub progress: Option<&'a mut dyn Progress>,
}

impl fmt::Debug for Options<'_> {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offline, cache, endpoint, timeout, .. } = self;
        f.debug_struct("Options")
            .field("offline", offline)
            .field("cache", cache)
            .field("endpoint", endpoint)
            .field("timeout", timeout)
            .finish_non_exhaustive()
    }
}

impl Options<'_> {
    /// What the environment says, in the variables of `huggingface_hub`: `HF_HOME`, `HF_HUB_CACHE`, `HF_HUB_OFFLINE`,
    /// `HF_ENDPOINT`, `HF_TOKEN`.
    pub fn from_env() -> Self {
        Self::from_variables(|name| env::var(name).ok(), env::home_dir())
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>, user_home: Option<PathBuf>) -> Self {
        let variable = |name| variable(name).filter(|value| !value.is_empty());
        let home = variable("HF_HOME").map(PathBuf::from);
        let home = home.or_else(|| user_home.map(|home| home.join(".cache/huggingface")));
        let cache = variable("HF_HUB_CACHE")
            .map(PathBuf::from)
            .or_else(|| home.as_ref().map(|home| home.join("hub")));
        let offline = variable("HF_HUB_OFFLINE")
            .is_some_and(|value| ["1", "on", "yes", "true"].contains(&value.to_ascii_lowercase().as_str()));
        let token = variable("HF_TOKEN").or_else(|| std::fs::read_to_string(home?.join("token")).ok());
        let token = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
        Self { offline, cache, endpoint: variable("HF_ENDPOINT"), token, timeout: None, progress: None }
    }
}

/// The directory of a model.
///
/// A directory is taken as it is; so is a name that begins like a path (`/`, `./`, `../`, `~/`), which must then be one.
/// Anything else is the name of a model on the hub: what the cache has in full is used without asking the hub, the rest is
/// downloaded.
pub fn resolve(name: &str, options: Options<'_>) -> Result<PathBuf, Error> {
    let fail = |fault| Error::Hub { name: name.to_owned(), fault };
    let path = expand_home(name);
    if path.is_dir() {
        return Ok(path);
    }
    let parts = name.split(['/', '\\']).next();
    if path.is_absolute() || matches!(parts, Some("" | "." | ".." | "~")) {
        return Err(fail(HubFault::NoSuchDirectory));
    }
    let id = ModelId::parse(name).ok_or_else(|| fail(HubFault::NoSuchName))?;
    fetch(name, &id, options)
}

#[cfg(feature = "hub")]
fn fetch(name: &str, id: &ModelId, options: Options<'_>) -> Result<PathBuf, Error> {
    download::snapshot(name, id, options)
}

#[cfg(not(feature = "hub"))]
fn fetch(name: &str, _: &ModelId, _: Options<'_>) -> Result<PathBuf, Error> {
    Err(Error::Hub { name: name.to_owned(), fault: HubFault::NotBuilt })
}

/// The path with a leading `~` replaced, which a shell does only for words that begin with it.
fn expand_home(name: &str) -> PathBuf {
    match (name.strip_prefix("~/"), env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => Path::new(name).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(variables: &[(&str, &str)]) -> Options<'static> {
        let find = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        Options::from_variables(find, Some("/home/ada".into()))
    }

    #[test]
    fn the_environment_is_read_as_huggingface_hub_reads_it() {
        assert_eq!(options(&[]).cache.unwrap(), Path::new("/home/ada/.cache/huggingface/hub"));
        assert_eq!(options(&[("HF_HOME", "/hf")]).cache.unwrap(), Path::new("/hf/hub"));
        assert_eq!(options(&[("HF_HOME", "/hf"), ("HF_HUB_CACHE", "/c")]).cache.unwrap(), Path::new("/c"));
        assert!(
            options(&[("HF_HUB_OFFLINE", "1")]).offline && options(&[("HF_HUB_OFFLINE", "TRUE")]).offline
        );
        assert!(!options(&[("HF_HUB_OFFLINE", "0")]).offline && !options(&[]).offline);
        assert_eq!(options(&[("HF_TOKEN", " secret\n")]).token.unwrap(), "secret");
    }

    #[test]
    fn the_token_is_not_shown() {
        assert!(!format!("{:?}", options(&[("HF_TOKEN", "secret")])).contains("secret"));
    }

    #[test]
    fn what_is_neither_directory_nor_name_is_a_missing_resource() {
        for name in ["./absent", "../absent", "/absent/x", "~/absent-here", "a/b/c", "a/../b", "", "a b/c"] {
            assert!(resolve(name, Options::default()).unwrap_err().is_missing_resource(), "{name:?}");
        }
    }
}
