//! DEFLATE (RFC 1951) to text: a decoder, and the memory that it decodes into.

use std::ops::Range;

use sirocco::Format;
use sirocco::inflate::{Decoder, Error, Progress};

/// Text that is made at a time, and with it what copies may reach back to: the last 32 KiB.
const SIZE: usize = 1 << 18;

/// Why decoding paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pause {
    /// There is text to be handed out first.
    Full,
    /// The input ended before the stream.
    Short,
    /// The last block has ended.
    End,
}

/// The data are not DEFLATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Invalid;

/// Decodes one stream after another.
pub(super) struct Deflate {
    decoder: Box<Decoder>,
    text: Vec<u8>,
    /// One past what was made of the stream so far.
    end: usize,
    is_full: bool,
    /// What is to be handed out.
    pending: Range<usize>,
}

impl Deflate {
    pub(super) fn new() -> Self {
        let decoder = Box::new(Decoder::new(Format::Deflate));
        Self { decoder, text: vec![0; SIZE], end: 0, is_full: false, pending: 0..0 }
    }

    /// Begins another stream. What of the one before was not handed out is gone.
    pub(super) fn reset(&mut self) {
        self.decoder.reset();
        (self.end, self.is_full, self.pending) = (0, false, 0..0);
    }

    /// Text that was decoded and not yet taken.
    pub(super) fn pending(&self) -> &[u8] {
        &self.text[self.pending.clone()]
    }

    /// Takes so much of it.
    pub(super) fn take(&mut self, bytes: usize) {
        self.pending.start += bytes;
    }

    /// Decodes on, once all text has been taken; also says how many bytes of the input are used up. With `is_all`, nothing comes after
    /// this input, which is faster. Text of the same call that comes before invalid data is lost.
    pub(super) fn decode(&mut self, input: &[u8], is_all: bool) -> (usize, Result<Pause, Invalid>) {
        if std::mem::take(&mut self.is_full) {
            self.end -= self.decoder.make_room(&mut self.text);
        }
        self.pending = self.end..self.end;
        match self.decoder.decompress(input, &mut self.text, is_all) {
            Ok(Progress { consumed, output, done, full, .. }) => {
                self.pending.end += output.len();
                self.end = self.pending.end;
                self.is_full = full;
                let pause = match (done, full) {
                    (true, _) => Pause::End,
                    (_, true) => Pause::Full,
                    _ => Pause::Short,
                };
                (consumed, Ok(pause))
            }
            Err(Error::Truncated) => (0, Ok(Pause::Short)),
            Err(_) => (0, Err(Invalid)),
        }
    }
}

/// Decodes `bytes` as DEFLATE in parts of `part` bytes, and asserts that zlib-rs finds the same.
pub(in crate::fastx) fn check(bytes: &[u8], part: usize) {
    use flate2::{Decompress, FlushDecompress, Status};

    let mut deflate = Deflate::new();
    let (mut text, mut at) = (Vec::new(), 0);
    let end = loop {
        let next = bytes.len().min(at + part);
        let (taken, outcome) = deflate.decode(&bytes[at..next], part > bytes.len());
        at += taken;
        let made = deflate.pending().len();
        text.extend_from_slice(deflate.pending());
        deflate.take(made);
        match outcome {
            Ok(Pause::Short) if taken == 0 && made == 0 => break Ok(Pause::Short),
            Ok(Pause::Full | Pause::Short) => {}
            other => break other,
        }
    };

    let mut reference = Decompress::new(false);
    let (mut theirs, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
    let their_end = loop {
        let before = (reference.total_in(), reference.total_out());
        let rest = &bytes[before.0 as usize..];
        let status = reference.decompress(rest, &mut buffer, FlushDecompress::None);
        theirs.extend_from_slice(&buffer[..(reference.total_out() - before.1) as usize]);
        match status {
            Ok(Status::StreamEnd) => break Ok(Pause::End),
            Ok(_) if before == (reference.total_in(), reference.total_out()) => break Ok(Pause::Short),
            Ok(_) => {}
            Err(_) => break Err(Invalid),
        }
    };
    assert_eq!(end, their_end);
    if end == Ok(Pause::End) {
        assert_eq!(at as u64, reference.total_in(), "the same end");
        assert!(text == theirs, "the same text");
    }
    let common = text.len().min(theirs.len());
    assert!(text[..common] == theirs[..common], "the same text before damage");
}

#[cfg(test)]
mod tests;
