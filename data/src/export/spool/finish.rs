//! From the folder to the final files.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use super::{
    super::{npy, safetensors, table},
    AtomicFile, Error, Format, Item, Result, Spool, VALUES, with_suffix,
};

/// How to write the final files.
#[derive(Clone, Copy, Debug)]
pub struct Finish<'a> {
    /// The format of the main file.
    pub format: Format,
    /// Names for the cells that [`Item::cells`] gives.
    pub columns: &'a [&'a str],
    /// What made the rows: model, options, version.
    pub metadata: &'a Map<String, Value>,
    /// Whether an existing file may be replaced.
    pub force: bool,
}

/// Where the table goes that tells what each row of `out` is about.
pub fn index_path(out: &Path) -> PathBuf {
    with_suffix(out, ".index.tsv")
}

/// Where the metadata of `out` goes.
pub fn metadata_path(out: &Path) -> PathBuf {
    with_suffix(out, ".meta.json")
}

impl<I: Item> Spool<I> {
    /// Writes the final files and removes the folder.
    ///
    /// The main file gets its name last: where it is, its index (for formats that hold numbers only) and its metadata are
    /// too. Side files without a main file are what a kill left, and are replaced.
    pub fn finish(self, finish: &Finish<'_>) -> Result<()> {
        let mut main = AtomicFile::create(&self.out, finish.force)?;
        self.write(finish, &mut main)?;
        let mut metadata = AtomicFile::create(metadata_path(&self.out), true)?;
        let path = metadata.path().to_owned();
        serde_json::to_writer_pretty(&mut metadata, finish.metadata)?;
        metadata.write_all(b"\n").map_err(Error::io(path))?;
        let index = (finish.format != Format::Tsv).then(|| self.index_file(finish.columns)).transpose()?;
        if finish.force {
            // An old main file beside new side files would look like one result.
            remove_if_there(&self.out)?;
        }
        metadata.commit()?;
        match index {
            Some(index) => index.commit()?,
            None => remove_if_there(&index_path(&self.out))?,
        }
        main.commit()?;
        self.discard()
    }

    /// As [`finish`](Self::finish), under another name than the spool was opened for.
    pub fn finish_as(mut self, out: &Path, finish: &Finish<'_>) -> Result<()> {
        out.clone_into(&mut self.out);
        self.finish(finish)
    }

    /// Writes the main file to `out`, such as standard output. The folder stays.
    pub fn write(&self, finish: &Finish<'_>, out: &mut dyn Write) -> Result<()> {
        match finish.format {
            Format::Npy => self.write_values(&npy::header(self.rows, self.width), out),
            Format::Safetensors => {
                self.write_values(&safetensors::header(self.rows, self.width, finish.metadata)?, out)
            }
            Format::Tsv => self.write_table(finish.columns, out),
        }
    }

    fn write_values(&self, header: &[u8], out: &mut dyn Write) -> Result<()> {
        let path = self.folder.join(VALUES);
        let values = File::open(&path).map_err(Error::io(path))?;
        out.write_all(header)
            .and_then(|()| io::copy(&mut values.take(self.rows * self.width as u64 * 4), out))
            .and_then(|_| out.flush())
            .map_err(Error::io(&self.out))
    }

    fn write_table(&self, columns: &[&str], out: &mut dyn Write) -> Result<()> {
        let numbers: Vec<String> = (0..self.width).map(|column| format!("e{column}")).collect();
        let header = columns.iter().copied().chain(numbers.iter().map(String::as_str));
        table::write_line(out, header, []).map_err(Error::io(&self.out))?;
        self.each_row(true, |_, cells, row| {
            table::write_line(out, cells.iter().map(String::as_str), row.iter().copied())
        })?;
        out.flush().map_err(Error::io(&self.out))
    }

    /// One line for each row, so that line and row go together without counting.
    fn index_file(&self, columns: &[&str]) -> Result<AtomicFile> {
        let mut file = AtomicFile::create(index_path(&self.out), true)?;
        let path = file.path().to_owned();
        table::write_line(&mut file, ["row"].iter().chain(columns).copied(), []).map_err(Error::io(path))?;
        self.each_row(false, |number, cells, _| {
            let number = number.to_string();
            let cells = std::iter::once(number.as_str()).chain(cells.iter().map(String::as_str));
            table::write_line(&mut file, cells, [])
        })?;
        Ok(file)
    }

    fn each_row(
        &self,
        values: bool,
        mut each: impl FnMut(u64, &[String], &[f32]) -> io::Result<()>,
    ) -> Result<()> {
        let mut rows = self.read()?;
        let (mut number, mut cells, mut row) = (0, Vec::new(), Vec::new());
        while let Some(item) = rows.next_item()? {
            for at in 0..item.rows() {
                if values {
                    rows.read_row(&mut row)?;
                }
                cells.clear();
                item.cells(at, &mut cells);
                each(number, &cells, &row).map_err(Error::io(&self.out))?;
                number += 1;
            }
        }
        Ok(())
    }
}

pub(crate) fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io(path)(error)),
        _ => Ok(()),
    }
}
