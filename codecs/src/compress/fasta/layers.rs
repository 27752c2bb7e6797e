//! A text of sequences taken apart, and put together again.
//!
//! Lines that begin with `>` are headers; all others are sequence, whatever they hold. A line belongs to its kind by its first
//! byte, so any bytes can be taken apart; only for FASTA it pays.

use crate::compress::varint::{put, take};

/// The parts of a block.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Layers {
    /// Headers without their mark, each with a line feed.
    pub(super) headers: Vec<u8>,
    /// Runs of lines: for a run of sequence lines of one length twice the length plus 1, and how many; for headers 0, and
    /// how many.
    pub(super) lines: Vec<u8>,
    /// Lengths of runs of upper and lower case letters in sequence lines, by turns.
    pub(super) cases: Vec<u8>,
    /// Letters of sequence lines that are no base: how many bases come before, the letter in upper case, how many.
    pub(super) others: Vec<u8>,
    /// Bases from 0 to 3.
    pub(super) bases: Vec<u8>,
}

const NO_BASE: u8 = 4;

/// The upper case of a letter, and whether it was lower case.
fn split_case(byte: u8) -> (u8, bool) {
    (byte.to_ascii_uppercase(), byte.is_ascii_lowercase())
}

fn code(upper: u8) -> u8 {
    match upper {
        b'A' => 0,
        b'C' => 1,
        b'G' => 2,
        b'T' => 3,
        _ => NO_BASE,
    }
}

/// Counts how often the same thing comes in a row.
struct Runs<T> {
    last: Option<(T, u64)>,
}

impl<T: PartialEq + Copy> Runs<T> {
    fn push(&mut self, item: T, count: u64) -> Option<(T, u64)> {
        match &mut self.last {
            Some((last, run)) if *last == item => {
                *run += count;
                None
            }
            last => last.replace((item, count)),
        }
    }
}

impl Layers {
    pub(super) fn split(text: &[u8]) -> Self {
        let mut layers = Self::default();
        let mut lines = Runs { last: None };
        let mut cases = Runs { last: Some((false, 0)) };
        // Bases before, and the letter.
        let mut other: Option<(u64, u8, u64)> = None;
        let mut gap = 0;
        let put_line = |out: &mut Vec<u8>, run: Option<(u64, u64)>| {
            if let Some((line, count)) = run {
                put(out, line);
                put(out, count);
            }
        };
        // The last line has no line feed; a text that ends with one has an empty last line.
        for line in text.split(|&byte| byte == b'\n') {
            if let Some(header) = line.strip_prefix(b">") {
                layers.headers.extend_from_slice(header);
                layers.headers.push(b'\n');
                put_line(&mut layers.lines, lines.push(0, 1));
                continue;
            }
            put_line(&mut layers.lines, lines.push(2 * line.len() as u64 + 1, 1));
            for &byte in line {
                let (upper, is_lower) = split_case(byte);
                // What has no case does not end a run.
                if byte.is_ascii_alphabetic()
                    && let Some((_, run)) = cases.push(is_lower, 1)
                {
                    put(&mut layers.cases, run);
                }
                let base = code(upper);
                if base < NO_BASE {
                    layers.bases.push(base);
                    gap += 1;
                    continue;
                }
                match &mut other {
                    Some((_, letter, run)) if *letter == upper && gap == 0 => *run += 1,
                    _ => {
                        put_other(&mut layers.others, other);
                        other = Some((gap, upper, 1));
                    }
                }
                gap = 0;
            }
        }
        put_line(&mut layers.lines, lines.last);
        // The last run of cases goes on to the end.
        put_other(&mut layers.others, other);
        layers
    }

    /// Puts the text together, which must have so many bytes.
    pub(super) fn join(&self, length: usize) -> Result<Vec<u8>, &'static str> {
        const SHORT: &str = "its layers do not belong together";
        let mut out = Vec::with_capacity(length);
        let (mut headers, mut lines) = (&self.headers[..], &self.lines[..]);
        let mut cases = Cases::new(&self.cases);
        let mut others = Others::new(&self.others);
        let mut bases = self.bases.iter();
        while !lines.is_empty() {
            let line = take(&mut lines).ok_or(SHORT)?;
            let count = take(&mut lines).ok_or(SHORT)?;
            for _ in 0..count {
                if line == 0 {
                    let end = headers.iter().position(|&byte| byte == b'\n').ok_or(SHORT)?;
                    out.push(b'>');
                    out.extend_from_slice(&headers[..end]);
                    headers = &headers[end + 1..];
                } else {
                    for _ in 0..line / 2 {
                        let upper = match others.next() {
                            Some(letter) => letter,
                            None => b"ACGT"[usize::from(bases.next().ok_or(SHORT)? & 3)],
                        };
                        out.push(cases.apply(upper));
                    }
                }
                out.push(b'\n');
                if out.len() > length + 1 {
                    return Err(SHORT);
                }
            }
        }
        // The last line has no line feed of its own.
        out.pop();
        if out.len() == length && bases.next().is_none() && headers.is_empty() { Ok(out) } else { Err(SHORT) }
    }
}

fn put_other(out: &mut Vec<u8>, other: Option<(u64, u8, u64)>) {
    if let Some((gap, letter, run)) = other {
        put(out, gap);
        out.push(letter);
        put(out, run);
    }
}

struct Cases<'a> {
    runs: &'a [u8],
    left: u64,
    is_lower: bool,
}

impl<'a> Cases<'a> {
    fn new(mut runs: &'a [u8]) -> Self {
        let left = take(&mut runs).unwrap_or(u64::MAX);
        Self { runs, left, is_lower: false }
    }

    fn apply(&mut self, upper: u8) -> u8 {
        if !upper.is_ascii_alphabetic() {
            return upper;
        }
        if self.left == 0 {
            self.left = take(&mut self.runs).unwrap_or(u64::MAX);
            self.is_lower = !self.is_lower;
        }
        self.left -= 1;
        if self.is_lower { upper.to_ascii_lowercase() } else { upper }
    }
}

struct Others<'a> {
    runs: &'a [u8],
    gap: u64,
    letter: u8,
    left: u64,
}

impl<'a> Others<'a> {
    fn new(runs: &'a [u8]) -> Self {
        let mut others = Self { runs, gap: u64::MAX, letter: 0, left: 0 };
        others.load();
        others
    }

    fn load(&mut self) {
        (self.gap, self.left) = (u64::MAX, 0);
        let mut read = || {
            let gap = take(&mut self.runs)?;
            let &letter = self.runs.split_off_first()?;
            Some((gap, letter, take(&mut self.runs)?))
        };
        if let Some(run) = read() {
            (self.gap, self.letter, self.left) = run;
        }
    }

    /// The letter that stands here, or none for a base.
    fn next(&mut self) -> Option<u8> {
        if self.gap > 0 {
            self.gap -= 1;
            return None;
        }
        let letter = self.letter;
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            self.load();
        }
        Some(letter)
    }
}
