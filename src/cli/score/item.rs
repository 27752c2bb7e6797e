//! One record's line, and the files that lines and tracks become.

use std::io::Write;
use std::path::Path;

use kilobase::data::export::track::{self, Interval};
use kilobase::data::export::{Item, Spool, write_line};
use kilobase::data::regions::Contig;
use kilobase::models::run::score::Likelihood;
use serde::{Deserialize, Serialize};

/// What is known of a record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Scored {
    record: String,
    /// Letters.
    length: u64,
    pub(super) bases: u64,
    pub(super) tokens: u64,
    pub(super) log_likelihood: f64,
    bits_per_base: Option<f64>,
    /// Rows of the spool: one a letter where a track is wanted.
    #[serde(default, skip_serializing_if = "is_zero")]
    rows: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(rows: &u64) -> bool {
    *rows == 0
}

/// The columns of the table.
const COLUMNS: [&str; 6] = ["record", "length", "bases", "tokens", "log_likelihood", "bits_per_base"];

impl Scored {
    pub(super) fn new(record: &str, length: usize, score: &Likelihood, track: bool) -> Self {
        Self {
            record: record.to_owned(),
            length: length as u64,
            bases: score.bases as u64,
            tokens: score.tokens as u64,
            log_likelihood: score.log_likelihood,
            bits_per_base: score.bits_per_base(),
            rows: if track { length as u64 } else { 0 },
        }
    }

    fn line(&self) -> [String; 6] {
        let bits = self.bits_per_base.map_or_else(|| "NA".to_owned(), |bits| bits.to_string());
        [
            self.record.clone(),
            self.length.to_string(),
            self.bases.to_string(),
            self.tokens.to_string(),
            self.log_likelihood.to_string(),
            bits,
        ]
    }
}

impl Item for Scored {
    fn rows(&self) -> u64 {
        self.rows
    }

    fn cells(&self, _: u64, cells: &mut Vec<String>) {
        cells.extend(self.line());
    }
}

/// Writes a line a record: tab-separated, or a JSON document each.
pub(super) fn write_table(
    spool: &Spool<Scored>,
    out: &mut dyn Write,
    json: bool,
    each: &mut dyn FnMut(&Scored),
) -> anyhow::Result<()> {
    if !json {
        write_line(out, COLUMNS, [])?;
    }
    let mut items = spool.read()?;
    while let Some(mut item) = items.next_item()? {
        each(&item);
        if json {
            item.rows = 0;
            serde_json::to_writer(&mut *out, &item)?;
            out.write_all(b"\n")?;
        } else {
            write_line(out, item.line().iter().map(String::as_str), [])?;
        }
    }
    Ok(out.flush()?)
}

/// Writes the track of all records; letters that are no base have no value.
pub(super) fn write_track(spool: &Spool<Scored>, path: &Path, force: bool) -> anyhow::Result<()> {
    let mut contigs = Vec::new();
    let mut items = spool.read()?;
    while let Some(item) = items.next_item()? {
        contigs.push(Contig { name: item.record, length: item.length });
    }
    let mut rows = spool.read()?;
    let (mut contig, mut item, mut at, mut row) = (0, None::<Scored>, 0, Vec::new());
    let mut next = || -> anyhow::Result<Option<Interval>> {
        loop {
            let Some(current) = &item else {
                item = rows.next_item()?;
                if item.is_none() {
                    return Ok(None);
                }
                at = 0;
                continue;
            };
            if at == current.length {
                item = None;
                contig += 1;
                continue;
            }
            rows.read_row(&mut row)?;
            at += 1;
            if row[0].is_finite() {
                return Ok(Some(Interval { contig, start: at - 1, end: at, value: row[0] }));
            }
        }
    };
    track::write::<anyhow::Error>(path, &contigs, std::iter::from_fn(|| next().transpose()), force)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_a_cell_for_each_column_and_says_where_there_is_nothing() {
        let score = Likelihood { log_likelihood: -1.5, tokens: 2, ..Likelihood::default() };
        let line = Scored::new("r", 7, &score, false).line();
        assert_eq!(line, ["r", "7", "0", "2", "-1.5", "NA"]);
    }

    #[test]
    fn letters_without_a_base_leave_a_gap_in_the_track() {
        let mut spool = Spool::scratch(1).unwrap();
        let score = Likelihood { bases: 2, ..Likelihood::default() };
        spool.append(&[Scored::new("a", 3, &score, true)], &[-1.0, f32::NAN, -0.5]).unwrap();
        spool.append(&[Scored::new("b", 1, &score, true)], &[-2.0]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.bedgraph");
        write_track(&spool, &path, false).unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), "a\t0\t1\t-1.0\na\t2\t3\t-0.5\nb\t0\t1\t-2.0\n");
    }
}
