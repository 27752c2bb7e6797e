use std::{
    fs,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use super::{Error, Result};

/// How the temporary files begin, so that leftovers of a killed run can be told from the user's files.
pub(super) const TEMPORARY: &str = ".kilobase-";

/// A file that appears under its name only when it is complete.
///
/// It is written under a temporary name in the same folder, reaches the disk, and is renamed by [`commit`](Self::commit).
/// Dropped before that, it leaves nothing behind.
#[derive(Debug)]
pub struct AtomicFile {
    path: PathBuf,
    force: bool,
    file: BufWriter<NamedTempFile>,
}

impl AtomicFile {
    /// Refuses, without touching anything, when `path` exists and `force` is not given.
    pub fn check(path: &Path, force: bool) -> Result<()> {
        // A link that leads nowhere also occupies the name.
        if !force && fs::symlink_metadata(path).is_ok() {
            return Err(Error::Exists { path: path.to_owned() });
        }
        Ok(())
    }

    /// Begins a file that will be called `path`; an existing one is replaced only when `force` is given.
    pub fn create(path: impl Into<PathBuf>, force: bool) -> Result<Self> {
        let path = path.into();
        Self::check(&path, force)?;
        let mut builder = tempfile::Builder::new();
        builder.prefix(TEMPORARY).suffix(".tmp");
        // Temporary files are private by default; results get the permissions of any new file, less the umask.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let file = builder.tempfile_in(parent(&path)).map_err(Error::io(&path))?;
        Ok(Self { path, force, file: BufWriter::with_capacity(1 << 16, file) })
    }

    /// The name that the file will have.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file itself, for a writer that must own and seek it; nothing may be written through `self` beside it.
    pub(super) fn try_clone(&self) -> io::Result<fs::File> {
        self.file.get_ref().as_file().try_clone()
    }

    /// Brings the file to the disk and gives it its name.
    pub fn commit(self) -> Result<()> {
        let Self { path, force, file } = self;
        let file = file.into_inner().map_err(|error| Error::io(&path)(error.into_error()))?;
        file.as_file().sync_all().map_err(Error::io(&path))?;
        if force {
            file.persist(&path).map_err(|error| Error::io(&path)(error.error))?;
        } else {
            persist_new(file, &path)?;
        }
        sync_folder(parent(&path));
        Ok(())
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn persist_new(file: NamedTempFile, path: &Path) -> Result<()> {
    let Err(refused) = file.persist_noclobber(path) else { return Ok(()) };
    // Some file systems can neither rename without replacing nor link. There, look and then rename.
    if refused.error.kind() == io::ErrorKind::AlreadyExists || fs::symlink_metadata(path).is_ok() {
        return Err(Error::Exists { path: path.to_owned() });
    }
    refused.file.persist(path).map(|_| ()).map_err(|error| Error::io(path)(error.error))
}

pub(super) fn parent(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A new name lasts through a power cut only when its folder is on the disk too. Not every system lets a folder be
/// opened, and the file itself is safe by now, so a refusal is not an error.
pub(super) fn sync_folder(folder: &Path) {
    if let Ok(folder) = fs::File::open(folder) {
        let _ = folder.sync_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn appears_only_on_commit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.tsv");
        let mut file = AtomicFile::create(&path, false).unwrap();
        file.write_all(b"a\n").unwrap();
        assert!(!path.exists());
        file.commit().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"a\n");
        assert_eq!(names(folder.path()), ["out.tsv"]);
    }

    #[test]
    fn dropped_file_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = AtomicFile::create(folder.path().join("out.tsv"), false).unwrap();
        file.write_all(b"a\n").unwrap();
        drop(file);
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn existing_file_is_kept_unless_forced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.tsv");
        let late = AtomicFile::create(&path, false).unwrap();
        fs::write(&path, b"old").unwrap();
        assert!(matches!(AtomicFile::create(&path, false), Err(Error::Exists { .. })));
        assert!(
            matches!(late.commit(), Err(Error::Exists { .. })),
            "a file that came up meanwhile is kept too"
        );
        assert_eq!(fs::read(&path).unwrap(), b"old");
        AtomicFile::create(&path, true).unwrap().commit().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"");
    }

    #[cfg(unix)]
    #[test]
    fn permissions_are_those_of_any_new_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (ours, plain) = (folder.path().join("ours"), folder.path().join("plain"));
        AtomicFile::create(&ours, false).unwrap().commit().unwrap();
        fs::write(&plain, b"").unwrap();
        let mode = |path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
    }
}
