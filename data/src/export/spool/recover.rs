//! Taking up what an earlier run left.

use std::{
    fs::File,
    io::{BufRead, BufReader},
};

use super::{Error, INDEX, Item, Result, Spool, VALUES};

impl<I: Item> Spool<I> {
    /// Counts what is complete and cuts off what is not.
    pub(super) fn recover(&mut self) -> Result<()> {
        let path = self.folder.join(INDEX);
        let mut lines = BufReader::new(File::open(&path).map_err(Error::io(&path))?);
        let mut line = Vec::new();
        loop {
            line.clear();
            lines.read_until(b'\n', &mut line).map_err(Error::io(&path))?;
            // A line without an end was being written when the run was killed. Zeros are a block of the file that never
            // reached the disk, and so does nothing after them count.
            if line.last() != Some(&b'\n') || line.contains(&0) {
                break;
            }
            let item: I = serde_json::from_slice(&line).map_err(|error| {
                self.corrupt(format!("line {} of {INDEX} is not readable ({error})", self.items + 1))
            })?;
            self.items += 1;
            self.index_bytes += line.len() as u64;
            self.rows = self
                .rows
                .checked_add(item.rows())
                .ok_or_else(|| self.corrupt(format!("{INDEX} counts too many rows")))?;
        }
        self.check_values()?;
        self.rewind()
    }

    /// Rows reach the disk before their line, so fewer of them than lines say is not the mark of a kill.
    fn check_values(&self) -> Result<()> {
        let path = self.folder.join(VALUES);
        let there = self.values.metadata().map_err(Error::io(path))?.len();
        let wanted = u128::from(self.rows) * self.width as u128 * 4;
        if u128::from(there) < wanted {
            return Err(self.corrupt(format!("{VALUES} has {there} bytes, {INDEX} speaks of {wanted}")));
        }
        Ok(())
    }

    fn corrupt(&self, reason: String) -> Error {
        Error::Corrupt { folder: self.folder.clone(), reason }
    }
}
