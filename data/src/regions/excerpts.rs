use std::io::{self, Read};
use std::path::Path;

use super::{Bed, Error, Reference, Region, Result};
use crate::alphabet;
use crate::fastx;

/// The regions of a BED file, cut out of a genome, as FASTA: what reads records reads regions.
///
/// A record is called `contig:start-end`, from 0 and half open as in the BED file, then ` name` where the region has one.
/// A region on the strand `-` is complemented, and its record called `contig:start-end(-)`. Case is as in the genome.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let (genome, bed) = (folder.path().join("genome.fa"), folder.path().join("exons.bed"));
/// std::fs::write(&genome, ">chr1\nAACCGGTTAA\n")?;
/// std::fs::write(&bed, "chr1\t2\t5\tplus\nchr1\t2\t5\tminus\t0\t-\n")?;
/// let mut reader = kilobase_data::regions::Excerpts::open(&genome, &bed)?.into_reader(Default::default());
/// let record = reader.next().unwrap()?;
/// assert_eq!((record.id.as_str(), record.sequence.as_slice()), ("chr1:2-5", &b"CCG"[..]));
/// let record = reader.next().unwrap()?;
/// assert_eq!((record.id.as_str(), record.sequence.as_slice()), ("chr1:2-5(-)", &b"CGG"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Excerpts {
    genome: Reference,
    bed: Bed,
    text: Vec<u8>,
    /// The next byte of it.
    at: usize,
}

impl Excerpts {
    /// Opens a genome and a BED file.
    pub fn open(genome: impl AsRef<Path>, bed: impl AsRef<Path>) -> Result<Self> {
        Ok(Self::new(Reference::open(genome)?, Bed::open(bed)?))
    }

    /// The regions of `bed` in `genome`.
    pub fn new(genome: Reference, bed: Bed) -> Self {
        Self { genome, bed, text: Vec::new(), at: 0 }
    }

    /// Reads them as records. An error of a region is the cause of the reader's.
    pub fn into_reader(self, options: fastx::Builder) -> fastx::Reader {
        let name = self.bed.name().to_owned();
        options.build(self, name)
    }

    fn cut(&mut self, region: &Region) -> Result<()> {
        let Region { contig, range, name, reverse } = region;
        let mut bases = self.genome.fetch_raw(contig, range.clone()).map_err(|source| Error::Region {
            file: self.bed.name().to_owned(),
            line: self.bed.line(),
            source: Box::new(source),
        })?;
        if *reverse {
            alphabet::reverse_complement_in_place(&mut bases);
        }
        let strand = if *reverse { "(-)" } else { "" };
        let name = name.as_ref().map_or_else(String::new, |name| format!(" {name}"));
        self.text.clear();
        self.text
            .extend_from_slice(format!(">{contig}:{}-{}{strand}{name}\n", range.start, range.end).as_bytes());
        self.text.append(&mut bases);
        self.text.push(b'\n');
        self.at = 0;
        Ok(())
    }
}

impl Read for Excerpts {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at == self.text.len() {
            let Some(region) = self.bed.next() else { return Ok(0) };
            region.and_then(|region| self.cut(&region)).map_err(io::Error::other)?;
        }
        let count = (self.text.len() - self.at).min(out.len());
        out[..count].copy_from_slice(&self.text[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(bed: &'static str) -> Vec<Result<fastx::Record, String>> {
        let folder = tempfile::tempdir().unwrap();
        let genome = folder.path().join("genome.fa");
        std::fs::write(&genome, ">chr1\nAACCgg\nTTAA\n>chr2\nGATTACA\n").unwrap();
        let bed = Bed::new(bed.as_bytes(), "x.bed").unwrap();
        let reader =
            Excerpts::new(Reference::open(&genome).unwrap(), bed).into_reader(fastx::Builder::default());
        let message = |error: &dyn std::error::Error| match error.source() {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        };
        reader.map(|record| record.map_err(|error| message(&error))).collect()
    }

    #[test]
    fn regions_are_records_in_the_order_of_the_bed_file() {
        let records: Vec<_> =
            records("chr2\t0\t7\tall\nchr1\t4\t8\tb c\t0\t-\nchr1\t3\t3\n").into_iter().flatten().collect();
        let shown: Vec<_> = records
            .iter()
            .map(|r| (r.id.as_str(), r.description.as_str(), std::str::from_utf8(&r.sequence).unwrap()))
            .collect();
        let expected = [("chr2:0-7", "all", "GATTACA"), ("chr1:4-8(-)", "b c", "AAcc"), ("chr1:3-3", "", "")];
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_region_that_is_not_there_is_an_error_of_its_line() {
        let last = |bed| records(bed).pop().unwrap().unwrap_err();
        let error = last("chr1\t0\t4\nchr1\t4\t11\n");
        assert!(error.contains("x.bed: line 2: ") && error.contains("chr1 has 10 bases"), "{error}");
        let error = last("1\t0\t4\n");
        assert!(error.contains("no contig 1; it has chr1"), "{error}");
        assert!(last("chr1\t4\n").contains("x.bed: line 1: has 2 of the three columns"));
    }
}
