//! Reading complete rows back, one at a time.

use std::{
    fs::File,
    io::{BufRead, BufReader, Lines, Read},
    marker::PhantomData,
};

use super::{Error, INDEX, Item, Result, Spool, VALUES};

impl<I: Item> Spool<I> {
    /// Reads the complete rows from the first on.
    pub fn read(&self) -> Result<Rows<I>> {
        let open = |name: &str| {
            let path = self.folder.join(name);
            File::open(&path).map_err(Error::io(path))
        };
        Ok(Rows {
            lines: BufReader::new(open(INDEX)?.take(self.index_bytes)).lines(),
            values: BufReader::with_capacity(1 << 16, open(VALUES)?),
            bytes: vec![0; self.width * 4],
            path: self.folder.clone(),
            item: PhantomData,
        })
    }
}

/// Items of a [`Spool`] with their rows, in the order in which they were added. Made by [`Spool::read`].
#[derive(Debug)]
pub struct Rows<I> {
    lines: Lines<BufReader<std::io::Take<File>>>,
    values: BufReader<File>,
    bytes: Vec<u8>,
    path: std::path::PathBuf,
    item: PhantomData<fn() -> I>,
}

impl<I: Item> Rows<I> {
    /// The next item. Its rows are to be read by [`read_row`](Self::read_row) before the one after it.
    pub fn next_item(&mut self) -> Result<Option<I>> {
        let Some(line) = self.lines.next() else { return Ok(None) };
        let line = line.map_err(Error::io(self.path.join(INDEX)))?;
        Ok(Some(serde_json::from_str(&line)?))
    }

    /// Reads the next row into `row`, in place of what it held.
    pub fn read_row(&mut self, row: &mut Vec<f32>) -> Result<()> {
        self.values.read_exact(&mut self.bytes).map_err(Error::io(self.path.join(VALUES)))?;
        row.clear();
        row.extend(self.bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)));
        Ok(())
    }
}
