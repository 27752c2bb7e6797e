/// DEFLATE looks back this far.
const HISTORY: usize = 1 << 15;
/// Bytes that are inflated before they are given out.
const PORTION: usize = 1 << 18;
/// Bytes behind the limit that the last copy may write.
pub(super) const SLACK: usize = 512;

/// Text as it is inflated, with as much of what came before as copies may refer to.
pub(super) struct Window {
    bytes: Vec<u8>,
    /// The first byte of the stream that is still here.
    first: usize,
    /// The first byte that was not given out.
    given: usize,
    /// One past the last byte.
    end: usize,
}

impl Window {
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; HISTORY + PORTION + SLACK], first: 0, given: 0, end: 0 }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        (self.first, self.given, self.end) = (0, 0, 0);
    }

    /// Begins another stream: nothing before it can be referred to. What was not given out stays.
    pub(super) fn restart(&mut self) {
        self.first = self.end;
    }

    pub(super) fn first(&self) -> usize {
        self.first
    }

    /// No write may begin here or behind it.
    pub(super) const LIMIT: usize = HISTORY + PORTION;

    pub(super) fn is_full(&self) -> bool {
        self.end >= Self::LIMIT
    }

    /// All bytes, and where the next one goes.
    pub(super) fn parts(&mut self) -> (&mut [u8], usize) {
        (&mut self.bytes, self.end)
    }

    pub(super) fn advance_to(&mut self, end: usize) {
        self.end = end;
    }

    /// Adds plain bytes, as many as there is room for.
    pub(super) fn push(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(Self::LIMIT - self.end);
        self.bytes[self.end..self.end + count].copy_from_slice(&bytes[..count]);
        self.end += count;
        count
    }

    /// What was not given out yet.
    pub(super) fn ready(&self) -> &[u8] {
        &self.bytes[self.given..self.end]
    }

    /// Bytes from `start`, a value of [`end`](Self::end), on.
    pub(super) fn since(&self, start: usize) -> &[u8] {
        &self.bytes[start..self.end]
    }

    pub(super) fn end(&self) -> usize {
        self.end
    }

    /// Gives `count` bytes out; when all are, makes room.
    pub(super) fn give(&mut self, count: usize) {
        self.given += count;
        if self.given < self.end || self.end < Self::LIMIT {
            return;
        }
        let keep = self.end.saturating_sub(HISTORY);
        self.bytes.copy_within(keep..self.end, 0);
        self.first = self.first.saturating_sub(keep);
        self.end -= keep;
        self.given = self.end;
    }
}
