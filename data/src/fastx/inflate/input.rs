use std::io::{self, Read};

/// Compressed bytes at hand.
pub(super) struct Input<R> {
    inner: R,
    bytes: Vec<u8>,
    /// The next byte.
    pub(super) at: usize,
    /// One past the last byte.
    end: usize,
    /// Nothing comes after `end`.
    is_last: bool,
}

const CAPACITY: usize = 1 << 17;

impl<R: Read> Input<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, bytes: vec![0; CAPACITY], at: 0, end: 0, is_last: false }
    }

    /// Makes at least `count` bytes ready, or all that there are.
    pub(super) fn ensure(&mut self, count: usize) -> io::Result<()> {
        debug_assert!(count <= CAPACITY / 2, "the buffer has room");
        if self.end - self.at >= count || self.is_last {
            return Ok(());
        }
        self.bytes.copy_within(self.at..self.end, 0);
        self.end -= self.at;
        self.at = 0;
        while self.end < count && !self.is_last {
            match self.inner.read(&mut self.bytes[self.end..]) {
                Ok(0) => self.is_last = true,
                Ok(more) => self.end += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The next bytes, which [`ensure`](Self::ensure) has made ready.
    pub(super) fn ready(&self) -> &[u8] {
        &self.bytes[self.at..self.end]
    }

    /// Takes `N` bytes; none when the stream has fewer.
    pub(super) fn take<const N: usize>(&mut self) -> io::Result<Option<[u8; N]>> {
        self.ensure(N)?;
        let array = self.ready().first_chunk().copied();
        self.at += if array.is_some() { N } else { 0 };
        Ok(array)
    }

    /// Begins anew with another stream.
    pub(super) fn restart(&mut self, inner: R) {
        self.inner = inner;
        (self.at, self.end, self.is_last) = (0, 0, false);
    }

    /// What was not taken, from the buffer and then from the stream.
    pub(super) fn into_reader(self) -> impl Read {
        io::Cursor::new(self.bytes[self.at..self.end].to_vec()).chain(self.inner)
    }
}
