use std::io::{self, Write};
use std::path::Path;

use noodles_bgzf as bgzf;

use crate::export::{AtomicFile, Error, Result};

/// A file that appears whole under its name, compressed or not.
pub(super) enum Output {
    Plain(AtomicFile),
    Bgzf(bgzf::io::Writer<AtomicFile>),
}

impl Output {
    pub(super) fn create(path: &Path, is_bgzf: bool, force: bool) -> Result<Self> {
        let file = AtomicFile::create(path, force)?;
        Ok(if is_bgzf { Self::Bgzf(bgzf::io::Writer::new(file)) } else { Self::Plain(file) })
    }

    /// Ends the stream and gives the file its name.
    pub(super) fn commit(self, path: &Path) -> Result<()> {
        match self {
            Self::Plain(file) => file.commit(),
            Self::Bgzf(writer) => {
                let io = |source| Error::Io { path: path.to_owned(), source };
                writer.finish().map_err(io)?.commit()
            }
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.write(bytes),
            Self::Bgzf(writer) => writer.write(bytes),
        }
    }

    /// Leaves blocks as they are: a flush would end one.
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(file) => file.flush(),
            Self::Bgzf(_) => Ok(()),
        }
    }
}
