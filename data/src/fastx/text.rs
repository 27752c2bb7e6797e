use std::io::{self, BufRead, Read};

use memmap2::Mmap;

use super::ahead::Ahead;

/// Large enough that system calls do not count, small enough for the processor's cache.
const BUFFER: usize = 1 << 18;

/// The text of a file in stretches as long as they come: all of a mapped file, a portion that was inflated, a buffer.
pub(crate) struct Text {
    now: Stretch,
    at: usize,
    more: More,
    /// What [`peek`](Self::peek) met; what was read before it comes first.
    failure: Option<io::Error>,
}

enum Stretch {
    Owned(Vec<u8>),
    Mapped(Mmap),
}

enum More {
    Stream(Box<dyn Read + Send>),
    Ahead(Ahead),
    Nothing,
}

impl Text {
    pub(super) fn mapped(map: Mmap) -> Self {
        Self { now: Stretch::Mapped(map), at: 0, more: More::Nothing, failure: None }
    }

    pub(super) fn stream(inner: Box<dyn Read + Send>) -> Self {
        Self { now: Stretch::Owned(Vec::new()), at: 0, more: More::Stream(inner), failure: None }
    }

    pub(super) fn ahead(ahead: Ahead) -> Self {
        Self { now: Stretch::Owned(Vec::new()), at: 0, more: More::Ahead(ahead), failure: None }
    }

    #[inline]
    fn stretch(&self) -> &[u8] {
        match &self.now {
            Stretch::Owned(bytes) => bytes,
            Stretch::Mapped(map) => map,
        }
    }

    /// Whether all of the text is at hand, so that pieces of it can be given to other threads.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.now, Stretch::Mapped(_))
    }

    /// The next bytes, `count` of them or all that there are.
    pub(super) fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        while self.stretch().len() - self.at < count {
            let mut joined = self.stretch()[self.at..].to_vec();
            match self.next() {
                Ok(Some(more)) => joined.extend(more),
                Ok(None) => break,
                Err(failure) if joined.is_empty() => return Err(failure),
                Err(failure) => self.failure = Some(failure),
            }
            let failed = self.failure.is_some();
            self.now = Stretch::Owned(joined);
            self.at = 0;
            if failed {
                break;
            }
        }
        let rest = &self.stretch()[self.at..];
        Ok(&rest[..rest.len().min(count)])
    }

    /// The stretch after this one.
    fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        if matches!(self.more, More::Nothing) {
            return Ok(None);
        }
        // The memory of what was read is used again.
        let mut bytes = Vec::new();
        if let Stretch::Owned(read) = &mut self.now
            && self.at == read.len()
        {
            bytes = std::mem::take(read);
            self.at = 0;
        }
        match &mut self.more {
            More::Nothing => Ok(None),
            More::Ahead(ahead) => ahead.next(bytes),
            More::Stream(inner) => {
                bytes.resize(BUFFER, 0);
                let count = loop {
                    match inner.read(&mut bytes) {
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        outcome => break outcome,
                    }
                };
                bytes.truncate(*count.as_ref().unwrap_or(&0));
                let is_end = count? == 0;
                Ok((!is_end).then_some(bytes))
            }
        }
    }
}

impl BufRead for Text {
    #[inline]
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.stretch().len()
            && let Some(bytes) = self.next()?
        {
            self.now = Stretch::Owned(bytes);
            self.at = 0;
        }
        Ok(&self.stretch()[self.at..])
    }

    #[inline]
    fn consume(&mut self, count: usize) {
        self.at += count;
    }
}

impl Read for Text {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let ready = self.fill_buf()?;
        let count = ready.len().min(out.len());
        out[..count].copy_from_slice(&ready[..count]);
        self.consume(count);
        Ok(count)
    }
}
