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

#[cfg(test)]
mod tests;
