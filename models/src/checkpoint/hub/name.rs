//! Names of models on the hub.

/// Revision where none is given.
const MAIN: &str = "main";

/// The longest name the hub allows.
const MAX_LEN: usize = 96;

/// `owner/name@revision`, taken apart. Each part is fit to be a part of a path and of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ModelId {
    /// `owner/name`
    pub(super) repo: String,
    pub(super) revision: String,
}

impl ModelId {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (repo, revision) = text.split_once('@').unwrap_or((text, MAIN));
        let (owner, name) = repo.split_once('/')?;
        // The cache turns the slash into two hyphens, so that two hyphens would make two models one.
        let plain = is_plain(owner) && is_plain(name) && is_plain(revision) && !repo.contains("--");
        (plain && repo.len() <= MAX_LEN)
            .then(|| Self { repo: repo.to_owned(), revision: revision.to_owned() })
    }
}

/// Whether a word can stand in a path or URL without changing it.
pub(super) fn is_plain(word: &str) -> bool {
    let edge = |b: Option<&u8>| b.is_none_or(|b| matches!(b, b'.' | b'-'));
    let bytes = word.as_bytes();
    bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        && !edge(bytes.first())
        && !edge(bytes.last())
        && !word.contains("..")
        && word.len() <= 128
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let id = ModelId::parse("zhihan1996/DNABERT-2-117M").unwrap();
        assert_eq!((id.repo.as_str(), id.revision.as_str()), ("zhihan1996/DNABERT-2-117M", "main"));
        assert_eq!(ModelId::parse("a/b@v1.0").unwrap().revision, "v1.0");
    }

    #[test]
    fn names_that_could_leave_a_folder_are_refused() {
        for name in [
            "a", "a/", "/b", "a/b/c", "../b", "a/..", "a/b@..", "a/b@", "a/b@x/y", "a/b@c@d", "a--b/c",
            "a/b?c",
        ] {
            assert_eq!(ModelId::parse(name), None, "{name:?}");
        }
        assert_eq!(ModelId::parse(&format!("a/{}", "b".repeat(100))), None);
    }
}
