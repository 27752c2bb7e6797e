use std::{
    fs, io,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::atomic::{TEMPORARY, parent, sync_folder};

/// A folder that appears under its name only when it is complete.
///
/// It is filled under a temporary name beside it and renamed by [`commit`](Self::commit). Dropped before that, it leaves
/// nothing behind.
#[derive(Debug)]
pub struct AtomicFolder {
    path: PathBuf,
    folder: TempDir,
}

impl AtomicFolder {
    /// Begins a folder that will be called `path`. Its temporary name begins with `.kilobase-` and the name.
    pub fn create(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let folder =
            tempfile::Builder::new().prefix(&format!("{TEMPORARY}{name}-")).tempdir_in(parent(&path))?;
        Ok(Self { path, folder })
    }

    /// Where its files are to be written.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Gives the folder another name than the one it was begun with, on the same file system.
    pub fn commit_to(mut self, path: impl Into<PathBuf>) -> io::Result<()> {
        self.path = path.into();
        self.commit()
    }

    /// Gives the folder its name, which nothing else has.
    pub fn commit(self) -> io::Result<()> {
        let Self { path, folder } = self;
        open_to_all(folder.path())?;
        sync_folder(folder.path());
        fs::rename(folder.path(), &path)?;
        let _ = folder.keep();
        sync_folder(parent(&path));
        Ok(())
    }
}

/// Temporary folders are made for their owner alone; this one is to be an ordinary folder.
#[cfg(unix)]
fn open_to_all(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn open_to_all(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appears_whole_or_not_at_all() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("model");
        for whole in [false, true] {
            let folder = AtomicFolder::create(&path).unwrap();
            fs::write(folder.path().join("a"), "a").unwrap();
            assert!(!path.exists());
            if whole {
                folder.commit().unwrap();
            }
        }
        assert_eq!(fs::read(path.join("a")).unwrap(), b"a");
        assert_eq!(fs::read_dir(outer.path()).unwrap().count(), 1, "nothing else is left");
        let other = AtomicFolder::create(&path).unwrap();
        assert!(other.commit().is_err(), "a folder with files is not replaced");
        assert_eq!(fs::read_dir(outer.path()).unwrap().count(), 1);
    }
}
