use super::lines::Line;
use super::reader::{Cursor, Failure};
use super::{Alphabet, Fault, Record};
use crate::alphabet::{self, scan};

pub(crate) mod plain;

/// Reads one FASTQ record of four lines; the next line is not empty.
///
/// Wrapped FASTQ is refused: `@` and `+` are quality letters too, so where a wrapped record ends can only be guessed
/// once anything in the file is wrong.
pub(super) fn read(cursor: &mut Cursor, record: &mut Record) -> Result<(), Failure> {
    if read_at_hand(cursor, record)? {
        return Ok(());
    }
    cursor.read_header(record)?;
    if read_line(cursor, &mut record.sequence)? == Line::End {
        return Err(Fault::Truncated { missing: "sequence" }.into());
    }
    let sequence_line = cursor.lines.number;
    if record.sequence.first() == Some(&b'+') {
        // A record of a header, '+' and quality: say what is missing, not that '+' is no base.
        return Err(Fault::Truncated { missing: "sequence, before its '+' line" }.into());
    }
    cursor.check_letters(&record.sequence, 0)?;

    let mut line = std::mem::take(&mut cursor.scratch);
    line.clear();
    let outcome = read_line(cursor, &mut line).and_then(|outcome| check_separator(cursor, &outcome, &line));
    cursor.scratch = line;
    outcome?;

    let quality = record.quality.get_or_insert_default();
    // An empty last line cannot be told from no line: a read without bases may end right after its '+' line end.
    if read_line(cursor, quality)? == Line::End && !record.sequence.is_empty() {
        return Err(Fault::Truncated { missing: "quality" }.into());
    }
    if !scan::is_visible(quality)
        && let Some(column) = quality.iter().position(|byte| !byte.is_ascii_graphic())
    {
        let found = quality[column];
        return Err(match found {
            b'\r' => Fault::CarriageReturn,
            _ => Fault::QualityLetter { found, column: column as u64 + 1 },
        }
        .into());
    }
    if quality.len() != record.sequence.len() {
        return Err(Fault::QualityLength { quality: quality.len(), sequence: record.sequence.len() }.into());
    }
    debug_assert!(cursor.lines.number <= sequence_line + 2);
    Ok(())
}

/// Reads a record that is plain and at hand; false, and nothing read, when it is another.
fn read_at_hand(cursor: &mut Cursor, record: &mut Record) -> Result<bool, Failure> {
    if cursor.alphabet != Alphabet::Iupac {
        return Ok(false);
    }
    let limit = cursor.limit;
    let text = cursor.lines.at_hand()?;
    let Some(plain) = plain::first(text).filter(|plain| plain.longest() <= limit) else { return Ok(false) };
    let string = |range| std::str::from_utf8(&text[range]).unwrap_or_default();
    record.id.push_str(string(plain.id()));
    record.description.push_str(string(plain.description()).trim_ascii());
    record.sequence.extend_from_slice(&text[plain.sequence()]);
    record.quality.get_or_insert_default().extend_from_slice(&text[plain.quality()]);
    cursor.lines.take(plain.bytes(), 4, 0);
    cursor.replaced = false;
    Ok(true)
}

fn read_line(cursor: &mut Cursor, out: &mut Vec<u8>) -> Result<Line, Failure> {
    match cursor.lines.read(out, cursor.limit)? {
        Line::TooLong => Err(Fault::TooLarge { limit: cursor.limit }.into()),
        outcome => Ok(outcome),
    }
}

/// Checks the third line: `+`, then nothing or this record's name.
fn check_separator(cursor: &Cursor, outcome: &Line, line: &[u8]) -> Result<(), Failure> {
    if *outcome == Line::End {
        return Err(Fault::Truncated { missing: "'+' line" }.into());
    }
    match line {
        [b'+', name @ ..] => {
            if name.is_empty() {
                return Ok(());
            }
            let name = name.trim_ascii_end();
            let header = cursor.header[1..].trim_ascii_end();
            let id = header.split(|byte| matches!(byte, b' ' | b'\t')).next().unwrap_or_default();
            if name.is_empty() || name == header || name == id {
                return Ok(());
            }
            Err(Fault::PlusName {
                expected: String::from_utf8_lossy(header).into_owned(),
                found: String::from_utf8_lossy(name).into_owned(),
            }
            .into())
        }
        [] => Err(Fault::MissingPlus { found: None }.into()),
        [_, ..] if alphabet::find_foreign(line).is_none() => Err(Fault::MultiLine.into()),
        [found, ..] => Err(Fault::MissingPlus { found: Some(*found) }.into()),
    }
}
