//! Sums over plain FASTQ records, of which nothing is kept, on all threads of the pool where the text lies in memory.

use std::hash::BuildHasher;

use foldhash::quality::RandomState;
use rayon::prelude::*;

use super::{Lengths, Quality};
use crate::alphabet::Counts;
use crate::fastx::AtHand;
use crate::fastx::fastq::plain;

/// Of some records.
#[derive(Default)]
pub(super) struct Sums {
    pub(super) letters: Counts,
    pub(super) lengths: Lengths,
    pub(super) quality: Quality,
}

/// What was read of a text, from its start or from a place within.
#[derive(Default)]
struct Part {
    sums: Sums,
    hashes: Vec<u64>,
    start: usize,
    end: usize,
}

/// Text that one thread reads at a time.
const SHARE: usize = 1 << 21;

/// How much is read at a time: more as long as it is worth it.
#[derive(Default)]
pub(super) struct Pace {
    shares: usize,
}

impl Pace {
    /// Sums the plain records that a text begins with, or some of them; gives their bytes.
    pub(super) fn sum(&mut self, text: &AtHand, hashes: &mut Vec<u64>, sums: &mut Sums) -> usize {
        let threads = rayon::current_num_threads();
        self.shares = if text.whole && threads > 1 { self.shares.clamp(1, 8 * threads) } else { 1 };
        let limit = text.limit;
        let window = text.text.len().min(self.shares * SHARE);
        if self.shares == 1 || window <= SHARE {
            let mut part = Part { hashes: std::mem::take(hashes), ..Part::default() };
            part.read(text.text, window, limit, &text.hasher);
            sums.merge(&part.sums);
            *hashes = part.hashes;
            self.shares = 2;
            return part.end;
        }
        // Where a record begins is guessed, and believed if the record before ends there.
        let mut starts: Vec<usize> = (0..window)
            .step_by(SHARE)
            .filter_map(|at| if at == 0 { Some(0) } else { guess(text.text, at) })
            .collect();
        starts.dedup();
        let ends = starts.iter().skip(1).copied().chain([window]);
        let parts: Vec<(usize, usize)> = starts.iter().copied().zip(ends).collect();
        let parts: Vec<Part> = parts
            .into_par_iter()
            .map(|(start, end)| {
                let mut part = Part { start, end: start, ..Part::default() };
                part.read(text.text, end, limit, &text.hasher);
                part
            })
            .collect();
        let mut end = 0;
        let good =
            parts.iter().take_while(|part| std::mem::replace(&mut end, part.end) == part.start).count();
        for part in &parts[..good] {
            sums.merge(&part.sums);
            hashes.extend_from_slice(&part.hashes);
        }
        self.shares = if good == parts.len() { 2 * self.shares } else { 1 };
        parts[good - 1].end
    }
}

impl Sums {
    fn merge(&mut self, other: &Self) {
        self.letters.merge(other.letters);
        self.lengths.merge(&other.lengths);
        self.quality.merge(&other.quality);
    }
}

impl Part {
    /// Goes on to the first record that begins at `until` or later, or is not plain.
    fn read(&mut self, text: &[u8], until: usize, limit: usize, hasher: &RandomState) {
        #[cfg(target_arch = "x86_64")]
        {
            use crate::alphabet::scan::block::Kind;
            match Kind::here() {
                // SAFETY: the processor was asked for.
                Kind::Avx512 => return unsafe { blocks::read_avx512(self, text, until, limit, hasher) },
                // SAFETY: the processor was asked for.
                Kind::Avx2 => return unsafe { blocks::read_avx2(self, text, until, limit, hasher) },
                Kind::Portable => {}
            }
        }
        self.read_portable(text, until, limit, hasher);
    }

    fn read_portable(&mut self, text: &[u8], until: usize, limit: usize, hasher: &RandomState) {
        while self.end < until {
            let record = &text[self.end..];
            let Some(plain) = plain::first_portable(record).filter(|plain| plain.longest() <= limit) else {
                break;
            };
            self.sums.letters.add(&record[plain.sequence()]);
            self.sums.quality.add(&record[plain.quality()]);
            self.note(&plain, record, hasher);
        }
    }

    #[inline]
    fn note(&mut self, plain: &plain::Plain, record: &[u8], hasher: &RandomState) {
        self.sums.lengths.add(plain.letters as u64);
        self.hashes.push(hasher.hash_one(&record[plain.id()]));
        self.end += plain.bytes();
    }
}

/// A place after `at` where a plain record seems to begin, and another one after it.
fn guess(text: &[u8], at: usize) -> Option<usize> {
    let feeds = memchr::memchr_iter(b'\n', &text[at..]).map(|feed| at + feed + 1);
    feeds.take(8).find(|&start| {
        let rest = &text[start..];
        plain::first(rest).is_some_and(|plain| rest.get(plain.bytes()) == Some(&b'@'))
    })
}

#[cfg(target_arch = "x86_64")]
#[allow(clippy::inline_always, reason = "what is not inlined is compiled without the instructions")]
mod blocks {
    use foldhash::quality::RandomState;

    use super::{Part, Sums};
    use crate::alphabet::Counts;
    use crate::alphabet::scan::block::{Avx2, Avx512, Block};
    use crate::fastx::fastq::plain::blocks::{first, load};
    use crate::stats::Quality;

    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vbmi2,popcnt,bmi1")]
    pub(super) fn read_avx512(
        part: &mut Part,
        text: &[u8],
        until: usize,
        limit: usize,
        hasher: &RandomState,
    ) {
        // SAFETY: the function enables what such blocks need.
        unsafe { read::<Avx512>(part, text, until, limit, hasher) }
    }

    #[target_feature(enable = "avx2,popcnt,bmi1")]
    pub(super) fn read_avx2(part: &mut Part, text: &[u8], until: usize, limit: usize, hasher: &RandomState) {
        // SAFETY: the function enables what such blocks need.
        unsafe { read::<Avx2>(part, text, until, limit, hasher) }
    }

    /// # Safety
    ///
    /// The processor is of the block's kind.
    #[inline(always)]
    unsafe fn read<B: Block>(part: &mut Part, text: &[u8], until: usize, limit: usize, hasher: &RandomState) {
        // SAFETY: as this function says.
        let mut sums = unsafe { Blocks::<B>::new() };
        while part.end < until {
            let record = &text[part.end..];
            // SAFETY: as this function says.
            let Some(plain) = unsafe { first::<B>(record) }.filter(|plain| plain.longest() <= limit) else {
                break;
            };
            let (sequence, quality) = (plain.sequence().start, plain.quality().start);
            let mut at = 0;
            while at < plain.letters {
                // SAFETY: as this function says.
                let (bases, marks) =
                    unsafe { (load::<B>(record, sequence + at), load::<B>(record, quality + at)) };
                sums.add(bases, marks, plain.letters - at);
                at += 64;
            }
            sums.letters += plain.letters as u64;
            part.note(&plain, record, hasher);
        }
        sums.give(&mut part.sums);
    }

    /// `A C G T N`, lower case, scores from 20 and from 30 on.
    const KINDS: usize = 8;

    /// Sums by the place in a block.
    struct Blocks<B: Block> {
        none: B,
        /// Blocks since the counts, of a byte each, were added to the sums.
        held: u8,
        counts: [B; KINDS],
        sums: [B::Sum; KINDS],
        scores: B::Sum,
        lowest: B,
        highest: B,
        letters: u64,
    }

    impl<B: Block> Blocks<B> {
        /// # Safety
        ///
        /// The processor is of the block's kind.
        #[inline(always)]
        unsafe fn new() -> Self {
            // SAFETY: as this function says.
            let (none, nothing, lowest) = unsafe { (B::splat(0), B::nothing(), B::splat(u8::MAX)) };
            Self {
                none,
                held: 0,
                counts: [none; KINDS],
                sums: [nothing; KINDS],
                scores: nothing,
                lowest,
                highest: none,
                letters: 0,
            }
        }

        /// Adds the first `count` bases and marks, or all.
        #[inline(always)]
        fn add(&mut self, bases: B, marks: B, count: usize) {
            if self.held == u8::MAX {
                self.flush();
            }
            self.held += 1;
            let (bases, lowest) = (bases.start(count, self.none), marks.start(count, self.lowest));
            let marks = marks.start(count, self.none);
            let upper = bases.upper();
            for (counts, letter) in self.counts.iter_mut().zip(*b"ACGTN") {
                *counts = upper.count_equal(letter, *counts);
            }
            // No code above upper case is anything but a lower-case letter.
            self.counts[5] = bases.count_from(b'a', self.counts[5]);
            self.counts[6] = marks.count_from(b'!' + 20, self.counts[6]);
            self.counts[7] = marks.count_from(b'!' + 30, self.counts[7]);
            self.lowest = self.lowest.lower_of(lowest);
            self.highest = self.highest.higher_of(marks);
            self.scores = marks.add_to(self.scores);
        }

        #[inline(always)]
        fn flush(&mut self) {
            for (counts, sum) in self.counts.iter_mut().zip(&mut self.sums) {
                *sum = counts.add_to(*sum);
                *counts = self.none;
            }
            self.held = 0;
        }

        #[inline(always)]
        fn give(mut self, to: &mut Sums) {
            self.flush();
            let [a, c, g, t, n, lower, at_least_20, at_least_30] = self.sums.map(B::total);
            let letters = self.letters;
            to.letters.merge(Counts { a, c, g, t, n, other: letters - a - c - g - t - n, lower });
            to.quality.merge(&Quality {
                letters,
                sum: B::total(self.scores) - letters * u64::from(b'!'),
                at_least_20,
                at_least_30,
                lowest: self.lowest.bytes().into_iter().min().unwrap_or(u8::MAX),
                highest: self.highest.bytes().into_iter().max().unwrap_or(0),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fastx::Reader;
    use crate::stats::Stats;

    fn fastq(reads: &[(String, String, u8)]) -> Vec<u8> {
        let record = |(id, bases, score): &(String, String, u8)| {
            let quality: String = bases
                .bytes()
                .enumerate()
                .map(|(at, _)| char::from(b'!' + (usize::from(*score) * (at + 1) % 94) as u8))
                .collect();
            format!("@{id}\n{bases}\n+\n{quality}\n")
        };
        reads.iter().map(record).collect::<String>().into_bytes()
    }

    fn reads() -> impl Strategy<Value = Vec<(String, String, u8)>> {
        prop::collection::vec(("[!-~]{1,9}( [ -~]{0,9})?", "[ACGTNacgtnU.]{1,200}", any::<u8>()), 0..30)
    }

    proptest! {
        #[test]
        fn all_processors_sum_alike(reads in reads(), cut in 0..40_usize) {
            let mut text = fastq(&reads);
            text.truncate(text.len().saturating_sub(cut));
            let hasher = RandomState::default();
            let run = |read: &dyn Fn(&mut Part)| {
                let mut part = Part::default();
                read(&mut part);
                (part.sums.letters, part.sums.lengths, part.sums.quality, part.hashes, part.end)
            };
            let expected = run(&|part| part.read_portable(&text, text.len(), 1000, &hasher));
            prop_assert_eq!(&run(&|part| part.read(&text, text.len(), 1000, &hasher)), &expected);
            #[cfg(target_arch = "x86_64")]
            if crate::alphabet::scan::block::Kind::here() != crate::alphabet::scan::block::Kind::Portable {
                // SAFETY: what has more has AVX2.
                let avx2 = run(&|part| unsafe { blocks::read_avx2(part, &text, text.len(), 1000, &hasher) });
                prop_assert_eq!(&avx2, &expected);
            }
        }
    }

    /// Sums and warnings of a file on a pool of `threads`, or the error.
    fn on(threads: usize, path: &std::path::Path) -> Result<(Stats, Vec<String>), String> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut reader = Reader::open(path).unwrap();
        let stats = pool.install(|| Stats::read(&mut reader, |_| ()));
        let warnings = reader.warnings().iter().map(ToString::to_string).collect();
        stats.map(|stats| (stats, warnings)).map_err(|error| error.to_string())
    }

    /// By single records.
    fn by_the_record(path: &std::path::Path) -> Result<(u64, Counts, u64, Vec<String>), String> {
        let mut reader = Reader::open(path).unwrap();
        let (mut records, mut counts, mut quality) = (0, Counts::default(), 0);
        for record in reader.by_ref() {
            let record = record.map_err(|error| error.to_string())?;
            records += 1;
            counts.add(&record.sequence);
            quality += record.quality.unwrap().iter().map(|&letter| u64::from(letter - b'!')).sum::<u64>();
        }
        Ok((records, counts, quality, reader.warnings().iter().map(ToString::to_string).collect()))
    }

    #[test]
    fn large_files_are_shared_by_threads_and_read_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reads.fq");
        let mut text = Vec::new();
        let mut number = 0_usize;
        while text.len() < 7 * SHARE {
            number += 1;
            let length = 1 + number * number % 190;
            let bases: String =
                (0..length).map(|at| char::from(b"ACGTN"[(at * at + number / 3) % 5])).collect();
            // Quality lines that look like headers and separators, a repeated name, and odd records here and there.
            let quality: String =
                (0..length).map(|at| char::from(b"@+I!~"[(at * number + at) % 5])).collect();
            let id = if number.is_multiple_of(40_000) { 7 } else { number };
            let end = if number.is_multiple_of(30_000) { "\r\n" } else { "\n" };
            text.extend_from_slice(
                format!("@r{id} {quality}{end}{bases}{end}+{end}{quality}{end}").as_bytes(),
            );
        }
        std::fs::write(&path, &text).unwrap();
        let expected = by_the_record(&path).unwrap();
        for threads in [1, 2, 3] {
            let (stats, warnings) = on(threads, &path).unwrap();
            let quality = stats.quality.unwrap();
            assert_eq!((stats.records, stats.letters, quality.sum, warnings), expected.clone());
            assert_eq!(quality.letters, stats.letters.total());
        }
        assert!(expected.3[0].contains("first: record 40000, id r7"), "{:?}", expected.3);
        // Damage near the end is told with its place.
        let at = text.len() - 70_000
            + text[text.len() - 70_000..].windows(4).position(|four| four == b"\n+\n@").unwrap()
            + 4;
        text[at] = b' ';
        std::fs::write(&path, &text).unwrap();
        let expected = by_the_record(&path).unwrap_err();
        assert!(expected.contains("a space at column 2 is not a quality letter"), "{expected}");
        for threads in [1, 3] {
            assert_eq!(on(threads, &path).unwrap_err(), expected);
        }
    }
}
