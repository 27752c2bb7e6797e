use super::reader::{Cursor, Failure};
use super::{Fault, Record, lines::Line};

/// Reads one FASTA record; the next line starts with `>`.
pub(super) fn read(cursor: &mut Cursor, record: &mut Record) -> Result<(), Failure> {
    cursor.read_header(record)?;
    let mut start = 0;
    loop {
        match cursor.lines.peek()? {
            None | Some(b'>') => return Ok(()),
            Some(_) => {}
        }
        let outcome = cursor.lines.read(&mut record.sequence, cursor.limit)?;
        if outcome == Line::TooLong {
            return Err(Fault::TooLarge { limit: cursor.limit }.into());
        }
        cursor.check_letters(&record.sequence[start..])?;
        start = record.sequence.len();
    }
}
