//! VCF with more entries in INFO, and nothing else changed.

use std::ops::Range;

use serde_json::{Map, Value};

use super::super::field::{self, info_line, quoted};
use super::super::header::structured;
use super::super::{Delimiter, Field, Header, Number, SKIP};
use super::finish::Scored;

/// The `ID` of our line of provenance.
const PROVENANCE: &str = "variants";

/// The header of the source, with our INFO lines after its own and the provenance at the end. Lines of the same key and id
/// are replaced; a version is given where there is none.
pub(super) fn write_header(
    header: &Header,
    fields: &[Field],
    metadata: &Map<String, Value>,
    out: &mut Vec<u8>,
) {
    let is_ours = |line: &[u8]| match structured(line) {
        Some((b"INFO", id)) => id == SKIP.as_bytes() || fields.iter().any(|field| field.id.as_bytes() == id),
        Some((b"kilobase", id)) => id == PROVENANCE.as_bytes(),
        _ => false,
    };
    let is_info = |line: &[u8]| matches!(structured(line), Some((b"INFO", _)));
    let kept: Vec<&[u8]> = header.meta.iter().map(Vec::as_slice).filter(|line| !is_ours(line)).collect();
    let after = kept.iter().rposition(|line| is_info(line)).map_or(kept.len(), |at| at + 1);
    let reason =
        "Why an alternate allele has no score, or not all scores: one code an allele, a dot where it has all";
    let ours = fields.iter().map(Field::header_line).chain([info_line(SKIP, "A", "String", reason)]);
    let mut write = |line: &[u8]| {
        out.extend_from_slice(line);
        out.push(b'\n');
    };
    if !kept.first().is_some_and(|line| line.starts_with(b"##fileformat=")) {
        write(b"##fileformat=VCFv4.3");
    }
    kept[..after].iter().for_each(|line| write(line));
    ours.for_each(|line| write(&line));
    kept[after..].iter().for_each(|line| write(line));
    write(provenance(metadata).as_bytes());
    write(&header.columns);
}

fn provenance(metadata: &Map<String, Value>) -> String {
    let mut line = format!("##kilobase=<ID={PROVENANCE}");
    for (key, value) in metadata.iter().filter(|(key, _)| field::is_key(key) && *key != "ID") {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        line.extend([",", key, "=", &quoted(&text)]);
    }
    line.push('>');
    line
}

/// A line of the source with the scores in its INFO column.
pub(super) fn write_line(scored: &Scored<'_>, cells: &mut Vec<Range<usize>>, out: &mut Vec<u8>) {
    let line = scored.record.source();
    // Tabs are split without fail.
    if Delimiter::Tab.split(line, cells).is_err() {
        return;
    }
    let info = cells[INFO].clone();
    out.extend_from_slice(&line[..info.start]);
    let is_ours =
        |key: &[u8]| key == SKIP.as_bytes() || scored.fields.iter().any(|field| field.id.as_bytes() == key);
    write_info(&line[info.clone()], is_ours, &entries(scored), out);
    out.extend_from_slice(&line[info.end..]);
    out.push(b'\n');
}

const INFO: usize = 7;

/// The entries of a record: those fields that have a value, then the reasons when there is one.
fn entries(scored: &Scored<'_>) -> Vec<u8> {
    let mut entries = Vec::new();
    let begin = |entries: &mut Vec<u8>, id: &str| {
        if !entries.is_empty() {
            entries.push(b';');
        }
        entries.extend_from_slice(id.as_bytes());
        entries.push(b'=');
    };
    for (at, field) in scored.fields.iter().enumerate() {
        let count = match field.number {
            Number::PerAlternate => scored.alternates(),
            Number::PerRecord => 1,
        };
        if (0..count).all(|alternate| scored.value(alternate, at).is_none()) {
            continue;
        }
        begin(&mut entries, &field.id);
        scored.write_values(at, count, b".", &mut entries);
    }
    if scored.entry.codes().next().is_some() {
        begin(&mut entries, SKIP);
        scored.write_codes(b".", &mut entries);
    }
    entries
}

/// Writes an INFO column: `old` without the entries that `is_ours`, which stay byte for byte, then `new`.
pub(crate) fn write_info(old: &[u8], is_ours: impl Fn(&[u8]) -> bool, new: &[u8], out: &mut Vec<u8>) {
    let key = |entry: &[u8]| is_ours(entry.split(|&byte| byte == b'=').next().unwrap_or_default());
    let start = out.len();
    if old != b"." {
        let mut separator: &[u8] = b"";
        for entry in old.split(|&byte| byte == b';').filter(|entry| !key(entry)) {
            out.extend_from_slice(separator);
            out.extend_from_slice(entry);
            separator = b";";
        }
    }
    if !new.is_empty() {
        if out.len() > start && out.last() != Some(&b';') {
            out.push(b';');
        }
        out.extend_from_slice(new);
    }
    if out.len() == start {
        out.push(b'.');
    }
}
