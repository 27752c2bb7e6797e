//! What a FASTA or FASTQ file holds, in one pass that keeps no record.
//!
//! ```
//! use kilobase_data::fastx::Reader;
//! use kilobase_data::stats::Stats;
//!
//! let mut reader = Reader::new(&b">a\nACGTN\n>b\nGG\n"[..], "x.fa");
//! let stats = Stats::read(&mut reader, |_| ())?;
//! assert_eq!((stats.records, stats.letters.total(), stats.lengths.max()), (2, 7, Some(5)));
//! assert_eq!(stats.lengths.n(50), Some(5));
//! # Ok::<(), kilobase_data::fastx::Error>(())
//! ```

use crate::alphabet::Counts;
use crate::fastx::{Error, Format, Reader, Record};

mod lengths;
mod quality;
mod reads;

pub use lengths::Lengths;
pub use quality::Quality;

/// Sums over the records of a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// FASTA or FASTQ; none for a file without records.
    pub format: Option<Format>,
    /// Records.
    pub records: u64,
    /// Letters by kind.
    pub letters: Counts,
    /// Lengths of the records.
    pub lengths: Lengths,
    /// Quality letters; none for FASTA.
    pub quality: Option<Quality>,
}

impl Stats {
    /// Reads to the end. `on_letters` hears of the letters of each record, or of many records together.
    pub fn read(reader: &mut Reader, mut on_letters: impl FnMut(u64)) -> Result<Self, Error> {
        let mut stats = Self::default();
        let (mut record, mut counts) = (Record::default(), Counts::default());
        let (mut pace, mut reads) = (reads::Pace::default(), reads::Sums::default());
        loop {
            let mut before = reads.letters.total();
            while reader.sum_plain(|text, hashes| pace.sum(text, hashes, &mut reads))? {
                on_letters(reads.letters.total() - before);
                before = reads.letters.total();
            }
            if !reader.count_record(&mut record, &mut counts)? {
                break;
            }
            stats.letters.merge(counts);
            stats.lengths.add(counts.total());
            if let Some(quality) = &record.quality {
                stats.quality.get_or_insert_default().add(quality);
            }
            on_letters(counts.total());
        }
        stats.letters.merge(reads.letters);
        stats.lengths.merge(&reads.lengths);
        if let Some(quality) = &mut stats.quality {
            quality.merge(&reads.quality);
        }
        stats.format = reader.format();
        (stats.records, _) = stats.lengths.sums();
        Ok(stats)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(text: &'static [u8]) -> Stats {
        Stats::read(&mut Reader::new(text, "x"), |_| ()).unwrap()
    }

    #[test]
    fn fasta_and_fastq_are_summed() {
        let fasta = stats(b">a\nACGT\r\nacgtN\r\n>b\n>c\nU-\n");
        assert_eq!((fasta.format, fasta.records, fasta.quality), (Some(Format::Fasta), 3, None));
        let expected = Counts { a: 2, c: 2, g: 2, t: 2, n: 1, other: 2, lower: 4 };
        assert_eq!(fasta.letters, expected);
        assert_eq!((fasta.lengths.min(), fasta.lengths.max()), (Some(0), Some(9)));
        let fastq = stats(b"@a\nACGT\n+\n!!II\n@b\nA\n+\n5\n");
        let quality = fastq.quality.unwrap();
        assert_eq!((fastq.records, fastq.letters.total(), quality.letters), (2, 5, 5));
        assert_eq!(
            (quality.min(), quality.max(), quality.at_least_20, quality.at_least_30),
            (Some(0), Some(40), 3, 2)
        );
        assert_eq!(quality.mean(), Some(20.0));
        assert_eq!(stats(b"").format, None);
    }

    #[test]
    fn damage_is_an_error_and_no_sum() {
        assert!(Stats::read(&mut Reader::new(&b">a\nAC!\n"[..], "x"), |_| ()).is_err());
    }
}
