use rayon::prelude::*;

use super::reader::{Cursor, Failure};
use super::{Fault, lines::Line};
use crate::alphabet::{Counts, scan};

/// What becomes of the letters of a FASTA record.
pub(super) trait Letters {
    /// Takes whole or part lines; gives the number of line feeds. `None`, and nothing is taken, when something but
    /// nucleotide codes and line feeds is in them. `whole` is set when the lines may be given to other threads.
    fn take(&mut self, lines: &[u8], whole: bool) -> Option<u64>;

    /// Reads one line, or what is left of it, and checks it.
    fn take_line(&mut self, cursor: &mut Cursor) -> Result<(), Failure>;
}

/// Keeps them.
impl Letters for Vec<u8> {
    fn take(&mut self, lines: &[u8], _: bool) -> Option<u64> {
        scan::squeeze(lines, self)
    }

    fn take_line(&mut self, cursor: &mut Cursor) -> Result<(), Failure> {
        let (start, before) = (self.len(), cursor.lines.partial);
        if cursor.lines.read(self, cursor.limit)? == Line::TooLong {
            return Err(Fault::TooLarge { limit: cursor.limit }.into());
        }
        Ok(cursor.check_letters(&self[start..], before)?)
    }
}

/// Counts them.
impl Letters for Counts {
    fn take(&mut self, lines: &[u8], whole: bool) -> Option<u64> {
        /// Below this, telling other threads takes longer than counting.
        const SHARE: usize = 1 << 20;
        let (counts, feeds) = if whole && lines.len() >= 4 * SHARE && rayon::current_num_threads() > 1 {
            let none = || Some((Self::default(), 0));
            lines.par_chunks(SHARE).map(scan::tally).reduce(none, |a, b| {
                let ((mut counts, feeds), (more, more_feeds)) = (a?, b?);
                counts.merge(more);
                Some((counts, feeds + more_feeds))
            })?
        } else {
            scan::tally(lines)?
        };
        self.merge(counts);
        Some(feeds)
    }

    fn take_line(&mut self, cursor: &mut Cursor) -> Result<(), Failure> {
        let mut line = std::mem::take(&mut cursor.scratch);
        line.clear();
        let outcome = line.take_line(cursor);
        self.add(&line);
        cursor.scratch = line;
        outcome
    }
}
