use super::letters::Letters;
use super::reader::{Cursor, Failure};
use super::{Alphabet, Record};

/// Bytes that are looked at together: few at the start of a record, which may be short, many in a chromosome.
const FIRST: usize = 1 << 12;
const LARGEST: usize = 1 << 26;
/// Up to here the next record is looked for.
const SHORT: usize = 1 << 15;

/// Reads one FASTA record, whose letters go to `letters`; the next line starts with `>`.
pub(super) fn read(
    cursor: &mut Cursor,
    record: &mut Record,
    letters: &mut impl Letters,
) -> Result<(), Failure> {
    cursor.read_header(record)?;
    let in_lines = cursor.alphabet == Alphabet::Any;
    if in_lines || !read_together(cursor, letters)? {
        // Line by line, where every letter can be named.
        loop {
            match cursor.lines.peek()? {
                None => break,
                Some(b'>') if cursor.lines.partial == 0 => break,
                Some(_) => letters.take_line(cursor)?,
            }
        }
    }
    cursor.lines.partial = 0;
    Ok(())
}

/// Reads many lines at a time; false when it met something that has to be looked at line by line.
fn read_together(cursor: &mut Cursor, letters: &mut impl Letters) -> Result<bool, Failure> {
    let (mut together, mut taken) = (FIRST, 0);
    let whole = cursor.lines.inner().is_whole();
    loop {
        let starts_line = cursor.lines.partial == 0;
        let ready = cursor.lines.at_hand()?;
        if ready.is_empty() || starts_line && ready[0] == b'>' {
            return Ok(true);
        }
        let mut lines = &ready[..ready.len().min(together)];
        // Records may be short: where the next one begins is looked up before letters are, while little is read together.
        if together <= SHORT
            && let Some(at @ 1..) = memchr::memchr(b'>', lines)
            && lines[at - 1] == b'\n'
        {
            lines = &lines[..at];
        }
        if taken + lines.len() > cursor.limit {
            return Ok(false);
        }
        let mut feeds = letters.take(lines, whole);
        // The next record begins among them?
        if feeds.is_none()
            && let Some(end) = memchr::memmem::find(lines, b"\n>")
        {
            lines = &lines[..=end];
            feeds = letters.take(lines, whole);
        }
        let Some(feeds) = feeds else { return Ok(false) };
        let count = lines.len();
        let tail = memchr::memrchr(b'\n', lines).map_or(count, |feed| count - feed - 1);
        cursor.lines.take(count, feeds, tail);
        taken += count;
        together = (2 * together).min(LARGEST);
    }
}
