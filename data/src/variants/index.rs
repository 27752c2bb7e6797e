//! The index of a VCF file in bgzf (`.tbi`, or `.csi` where a contig is too long for that), made of the finished file.

use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};

use super::{Error, Result};
use crate::export::AtomicFile;
use noodles_bgzf as bgzf;
use noodles_core::Position;
use noodles_csi::binning_index::index::header::ReferenceSequenceNames;
use noodles_csi::binning_index::index::reference_sequence::bin::Chunk;
use noodles_csi::binning_index::index::reference_sequence::index::{BinnedIndex, LinearIndex};
use noodles_csi::binning_index::index::{Header, reference_sequence};
use noodles_csi::binning_index::{self, Indexer};

/// `.tbi` reaches so far: bins of 2^14 bases in six layers (SAM specification, section 5; tabix).
const TABIX_END: u64 = 1 << 29;
/// Of `.csi`: the same bins, in one layer more.
const SHIFT: u8 = 14;
const DEPTH: u8 = 6;
const CSI_END: u64 = 1 << (SHIFT + 3 * DEPTH);

/// What became of an index.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was written.
    Written(PathBuf),
    /// Records are not in the order that an index needs; the first that is out of it.
    Unsorted {
        /// Its contig.
        contig: String,
        /// Its position there, from 1.
        position: u64,
    },
}

/// Names of an index beside `vcf`.
pub fn names(vcf: &Path) -> [PathBuf; 2] {
    ["tbi", "csi"].map(|suffix| PathBuf::from(format!("{}.{suffix}", vcf.display())))
}

/// Whether a file of this name is one that has an index.
pub fn is_indexed(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    [".vcf.gz", ".vcf.bgz", ".vcf.bgzf"].iter().any(|suffix| name.ends_with(suffix))
}

/// Removes an index of an older file.
pub fn remove(index: &Path) -> io::Result<()> {
    match std::fs::remove_file(index) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Reads `vcf` and writes its index beside it, replacing one that is there. `longest` is the length of the longest contig.
///
/// # Errors
/// If a file cannot be read or written, or a line is no record.
pub fn write(vcf: &Path, longest: u64) -> Result<Outcome> {
    let [tabix, csi] = names(vcf);
    if longest < TABIX_END {
        let indexer = Indexer::<LinearIndex>::default();
        write_as(vcf, &tabix, TABIX_END, indexer, |out, index| {
            let mut writer = noodles_tabix::io::Writer::new(out);
            writer.write_index(&index)?;
            writer.get_mut().try_finish()
        })
    } else {
        let indexer = Indexer::<BinnedIndex>::new(SHIFT, DEPTH).expect("sizes that the format has");
        write_as(vcf, &csi, CSI_END, indexer, |out, index| {
            let mut writer = noodles_csi::io::Writer::new(out);
            writer.write_index(&index)?;
            writer.get_mut().try_finish()
        })
    }
}

fn write_as<I: reference_sequence::Index + Default>(
    vcf: &Path,
    path: &Path,
    reach: u64,
    indexer: Indexer<I>,
    save: impl FnOnce(&mut AtomicFile, binning_index::Index<I>) -> io::Result<()>,
) -> Result<Outcome> {
    let unread = |source| Error::Io { file: vcf.display().to_string(), source };
    let unwritten = |source| Error::Io { file: path.display().to_string(), source };
    let mut reader = bgzf::io::Reader::new(std::fs::File::open(vcf).map_err(unread)?);
    Ok(match read(&mut reader, reach, indexer).map_err(unread)? {
        Err(unsorted) => unsorted,
        Ok(index) => {
            let mut file = AtomicFile::create(path, true)?;
            save(&mut file, index).and_then(|()| file.flush()).map_err(unwritten)?;
            file.commit()?;
            Outcome::Written(path.to_owned())
        }
    })
}

/// Where each record lies, by its contig and what it covers.
fn read<I: reference_sequence::Index + Default>(
    reader: &mut bgzf::io::Reader<std::fs::File>,
    reach: u64,
    mut indexer: Indexer<I>,
) -> io::Result<std::result::Result<binning_index::Index<I>, Outcome>> {
    let mut names = ReferenceSequenceNames::new();
    let (mut line, mut last, mut start) = (Vec::new(), (0, 0), reader.virtual_position());
    while reader.read_until(b'\n', &mut line)? > 0 {
        let end = reader.virtual_position();
        if !line.starts_with(b"#") {
            let text = String::from_utf8_lossy(line.trim_ascii_end());
            let (contig, first, after) = covered(&text)
                .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("no record: {text}")))?;
            let (number, _) = names.insert_full(contig.into());
            if (number, first) < last {
                let (contig, position) = (contig.to_owned(), first as u64);
                return Ok(Err(Outcome::Unsorted { contig, position }));
            }
            last = (number, first);
            // What lies beyond the last bin counts as in it; such a place is outside of every contig.
            let place = |at: usize| Position::new(at.clamp(1, reach as usize - 1)).expect("1 or more");
            indexer
                .add_record(
                    Some((number, place(first), place(after.max(first)), true)),
                    Chunk::new(start, end),
                )
                .map_err(io::Error::other)?;
        }
        line.clear();
        start = end;
    }
    let count = names.len();
    let mut header: Header = binning_index::index::header::Builder::vcf().build();
    *header.reference_sequence_names_mut() = names;
    Ok(Ok(indexer.set_header(header).build(count)))
}

/// Contig, first and last base of a record, from 1: those of the reference allele, or up to `END`, as other programs index.
fn covered(line: &str) -> Option<(&str, usize, usize)> {
    let mut cells = line.split('\t');
    let (contig, position) = (cells.next()?, cells.next()?.parse::<usize>().ok()?);
    let reference = cells.nth(1)?.len();
    let end = cells
        .nth(3)
        .and_then(|info| info.split(';').find_map(|entry| entry.strip_prefix("END=")?.parse::<usize>().ok()));
    let last = (position + reference).saturating_sub(1);
    Some((contig, position.max(1), end.unwrap_or(last).max(position)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_covers_its_reference_allele_or_what_end_says() {
        assert_eq!(covered("c\t5\t.\tACG\tA\t.\t.\t."), Some(("c", 5, 7)));
        assert_eq!(covered("c\t5\t.\tA\t<DEL>\t.\t.\tX=1;END=90"), Some(("c", 5, 90)));
        assert_eq!(
            covered("c\t5\t.\tA\tC"),
            Some(("c", 5, 5)),
            "eight columns are the rule, not ours to check"
        );
        assert_eq!(covered("c\t0\t.\tN\tNA\t.\t.\t."), Some(("c", 1, 0)), "before the first base");
        assert_eq!(covered("c\tx\t.\tA\tC"), None);
    }

    #[test]
    fn only_vcf_in_bgzf_has_an_index() {
        for (name, indexed) in
            [("a.vcf.gz", true), ("A.VCF.bgz", true), ("a.vcf", false), ("a.tsv.gz", false)]
        {
            assert_eq!(is_indexed(Path::new(name)), indexed, "{name}");
        }
    }
}
