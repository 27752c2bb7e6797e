//! The first pass over the input: what there is to do, whether it can be read to its end, and its hash.

use std::collections::BTreeMap;
use std::path::PathBuf;

use kilobase::data::alphabet::Counts;
use kilobase::data::fastx::{self, Record};
use kilobase::data::regions::Excerpts;
use kilobase::data::window::Windows;
use sha2::{Digest, Sha256};

use super::args::{InputArgs, Source};
use super::output::Console;

/// Letters of a sample.
const SAMPLE: usize = 1 << 14;

/// What the input holds.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) records: u64,
    pub(crate) skipped: u64,
    pub(crate) windows: u64,
    /// Bases of all windows: overlaps count each time.
    pub(crate) work: u64,
    pub(crate) longest: u64,
    /// How many windows there are of each length.
    pub(crate) lengths: BTreeMap<u64, u64>,
    pub(crate) letters: Counts,
    /// The first letters, for what depends on how they are tokenized.
    pub(crate) sample: Vec<u8>,
    /// Of names and letters of all records, whatever the file's compression and line width.
    pub(crate) sha256: String,
}

/// Reads everything once. Errors that stand at the end of the last file are found here, before any work.
pub(crate) fn scan(
    sources: &[Source],
    input: &InputArgs,
    windows: Windows,
    skip_empty: bool,
    console: &Console,
) -> anyhow::Result<Scan> {
    let mut scan = Scan::default();
    let mut hash = Sha256::new();
    let mut record = Record::default();
    for source in sources {
        let mut reader = open(source, input)?;
        while reader.read_record(&mut record)? {
            for part in [record.id.as_bytes(), &record.sequence] {
                hash.update((part.len() as u64).to_le_bytes());
                hash.update(part);
            }
            if record.is_empty() {
                check_empty(&record, reader.name(), skip_empty)?;
                scan.skipped += 1;
                continue;
            }
            scan.records += 1;
            scan.longest = scan.longest.max(record.len() as u64);
            scan.letters.add(&record.sequence);
            let room = (SAMPLE - scan.sample.len()).min(record.len());
            scan.sample.extend(&record.sequence[..room]);
            for span in windows.over(record.len()) {
                scan.windows += 1;
                scan.work += span.len() as u64;
                *scan.lengths.entry(span.len() as u64).or_default() += 1;
            }
        }
        warn(&reader, console);
    }
    scan.sha256 = hex::encode(hash.finalize());
    Ok(scan)
}

/// A record without bases has no result: refused, unless it may be skipped.
pub(crate) fn check_empty(record: &Record, file: &str, skip_empty: bool) -> anyhow::Result<()> {
    anyhow::ensure!(
        skip_empty,
        "{file}: record {} (id {}) has no bases; --skip-empty leaves such records out",
        record.number,
        record.id.escape_debug()
    );
    Ok(())
}

/// Says what was odd in a file that was read to its end.
pub(crate) fn warn(reader: &fastx::Reader, console: &Console) {
    for warning in reader.warnings() {
        console.warn(format_args!("{}: {warning}", reader.name()));
    }
}

/// What a source is called in messages and metadata.
pub(crate) fn name(source: &Source) -> String {
    match source {
        Source::Stdin => "-".to_owned(),
        Source::File(path) => path.display().to_string(),
    }
}

/// The same for all of them.
pub(crate) fn names(sources: &[Source]) -> String {
    sources.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// Opens a source with the letters the user allows, or the regions of it that the user names.
pub(crate) fn open(source: &Source, input: &InputArgs) -> anyhow::Result<fastx::Reader> {
    let alphabet = if input.lenient { fastx::Alphabet::Any } else { fastx::Alphabet::Iupac };
    let path = match source {
        Source::Stdin => PathBuf::from("-"),
        Source::File(path) => path.clone(),
    };
    let options = fastx::Reader::builder().alphabet(alphabet);
    match &input.bed {
        Some(bed) => Ok(Excerpts::open(path, bed)?.into_reader(options)),
        None => Ok(options.open(path)?),
    }
}
