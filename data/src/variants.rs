//! Variants from VCF files and tables, and the same files with scores.
//!
//! ```text
//! Reader -> Record -> classify against a regions::Reference -> Edit or Reason -> (a model) -> Outcome -> Writer -> file
//! ```
//!
//! A [`Reader`] takes VCF, plain, gzip or bgzf, and tables with a header line, separated by tabs or commas. Damage is an
//! error that names file, line and value. A record that is valid and cannot be scored is none: [`classify`] gives a
//! [`Reason`] for each of its alleles, whose code the [`Writer`] puts where the score would be. The writer adds to each
//! line of the source and changes nothing else in it; it survives a kill and goes on where it stopped.
//!
//! Alleles are taken as they are written: nothing is trimmed, left-aligned or split.
//!
//! ```
//! use kilobase_data::variants::{Allele, Reader};
//!
//! let text = "##fileformat=VCFv4.4\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\nchr1\t5\t.\ta\tG,<DEL>\t.\t.\t.\n";
//! let mut reader = Reader::new(text.as_bytes(), "a.vcf")?;
//! let record = reader.next().unwrap()?;
//! assert_eq!((record.contig.as_str(), record.position, record.reference.as_slice()), ("chr1", 5, &b"A"[..]));
//! assert_eq!(record.alternates[0], Allele::Sequence(b"G".to_vec()));
//! assert!(matches!(&record.alternates[1], Allele::Symbolic(text) if text == "<DEL>"));
//! # Ok::<(), kilobase_data::variants::Error>(())
//! ```

mod allele;
mod classify;
mod columns;
mod error;
mod field;
mod header;
pub mod index;
mod reader;
mod reason;
mod record;
mod table;
mod writer;

pub use allele::Allele;
pub use classify::{Edit, classify};
pub use error::{Error, Fault, Place, Result};
pub use field::{Field, Kind, Number, SKIP};
pub use header::{Format, Header};
pub use reader::Reader;
pub use reason::Reason;
pub use record::Record;
pub use table::Delimiter;
pub use writer::{Finish, Order, Outcome, Scores, Summary, Writer};

#[cfg(test)]
mod tests;

/// Reads `bytes` to the end, writes them back with scores, and asserts what holds for every input: used by the property
/// tests and the fuzz targets.
#[doc(hidden)]
pub fn check(bytes: &[u8]) {
    let open = || Reader::new(std::io::Cursor::new(bytes.to_vec()), "input");
    let mut reader = match open() {
        Ok(reader) => reader,
        Err(error) => return assert!(error.to_string().starts_with("input: "), "errors name the file"),
    };
    let mut records = Vec::new();
    let mut failed = false;
    for outcome in reader.by_ref() {
        assert!(!failed, "a record after an error");
        match outcome {
            Ok(record) => {
                records.push(record);
                let record = &records[records.len() - 1];
                assert_eq!(record.number, records.len() as u64, "records are counted");
                assert!(!record.alternates.is_empty() && !record.contig.is_empty(), "fields are there");
                assert!(!record.source().contains(&b'\n'), "a record is a line");
            }
            Err(error) => {
                failed = true;
                assert!(error.to_string().starts_with("input: line "), "errors name file and line");
            }
        }
    }
    if !failed {
        check_writing(&records, open);
    }
}

/// What is written reads back to the same variants, and to the same bytes where nothing was added.
fn check_writing(records: &[Record], open: impl Fn() -> Result<Reader>) {
    let fields = vec![Field::per_alternate("KB_TEST", "a test")];
    let mut writer = Writer::scratch(fields).expect("a temporary folder");
    let score = |at: usize| Scores {
        values: vec![(!at.is_multiple_of(3)).then_some(at as f32 / 8.0)],
        reason: (at.is_multiple_of(3)).then_some(Reason::Star),
    };
    let outcomes: Vec<Outcome> = records
        .iter()
        .map(|record| Outcome {
            record: vec![],
            alternates: (0..record.alternates.len()).map(score).collect(),
        })
        .collect();
    writer.append(&outcomes).expect("values fit their fields");
    let source = open().expect("was read before");
    let format = source.header().format();
    let metadata = serde_json::Map::new();
    for order in [Order::Source, Order::Position] {
        let mut text = Vec::new();
        let finish = Finish { order, metadata: &metadata, force: false };
        let source = open().expect("was read before");
        let summary = writer.write(source, format, &finish, &mut text).expect("a vector takes all");
        assert_eq!(summary.records, records.len() as u64, "every record is written");
        let again = Reader::new(std::io::Cursor::new(text), "output").expect("the header reads back");
        let mut again: Vec<Record> = again.map(|record| record.expect("records read back")).collect();
        if order == Order::Position {
            again.sort_by(|a, b| (&a.contig, a.position).cmp(&(&b.contig, b.position)));
        }
        let mut expected: Vec<&Record> = records.iter().collect();
        if order == Order::Position {
            expected.sort_by(|a, b| (&a.contig, a.position).cmp(&(&b.contig, b.position)));
        }
        assert_eq!(again.len(), expected.len(), "every record reads back");
        for (record, expected) in again.iter().zip(expected) {
            let variant = |record: &Record| (record.contig.clone(), record.position, record.id.clone());
            assert_eq!(variant(record), variant(expected), "the place stays");
            assert_eq!((&record.reference, &record.alternates), (&expected.reference, &expected.alternates));
        }
    }
}
