use std::io::{self, BufRead};

/// Lines of a text, counted, with LF or CRLF taken off.
pub(crate) struct Lines<R> {
    inner: R,
    /// Lines begun so far, which is also the number of the last one, from 1.
    pub(crate) number: u64,
    /// Bytes of the line at hand that were taken by [`take`](Self::take); none at the start of a line.
    pub(crate) partial: usize,
}

/// How reading a line ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A line was appended to the buffer; it may be empty.
    Read,
    /// There is no further line.
    End,
    /// The buffer would grow past its limit.
    TooLong,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, number: 0, partial: 0 }
    }

    /// Where the lines come from.
    pub(crate) fn inner(&self) -> &R {
        &self.inner
    }

    /// The first byte of the next line; a line end for an empty one.
    pub(crate) fn peek(&mut self) -> io::Result<Option<u8>> {
        loop {
            match self.inner.fill_buf() {
                Ok(buffer) => return Ok(buffer.first().copied()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Appends the next line to `out`, which stays within `limit` bytes. Memory grows with what was read, never with
    /// what a file claims.
    pub(crate) fn read(&mut self, out: &mut Vec<u8>, limit: usize) -> io::Result<Line> {
        let start = out.len();
        let mut any = self.partial > 0;
        self.partial = 0;
        loop {
            let buffer = match self.inner.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if buffer.is_empty() {
                break;
            }
            if !any {
                any = true;
                self.number += 1;
            }
            let end = memchr::memchr(b'\n', buffer);
            let line = &buffer[..end.unwrap_or(buffer.len())];
            if out.len().saturating_add(line.len()) > limit.saturating_add(1) {
                return Ok(Line::TooLong); // one more is allowed, for the CR
            }
            out.extend_from_slice(line);
            let consumed = line.len() + usize::from(end.is_some());
            self.inner.consume(consumed);
            if end.is_some() {
                break;
            }
        }
        if out.len() > start && out.last() == Some(&b'\r') {
            out.pop();
        }
        Ok(if !any {
            Line::End
        } else if out.len() > limit {
            Line::TooLong
        } else {
            Line::Read
        })
    }

    /// The bytes at hand; none at the end.
    pub(crate) fn at_hand(&mut self) -> io::Result<&[u8]> {
        self.peek()?;
        self.inner.fill_buf()
    }

    /// Takes bytes at hand, `feeds` line feeds among them, without reading them; `tail` of them come after the last one.
    pub(crate) fn take(&mut self, count: usize, feeds: u64, tail: usize) {
        self.inner.consume(count);
        self.number += feeds + u64::from(tail > 0) - u64::from(self.partial > 0);
        self.partial = if feeds > 0 { tail } else { self.partial + tail };
    }

    /// Skips empty lines; gives the first byte of the line that is not, if any.
    pub(crate) fn skip_empty(&mut self) -> io::Result<Option<u8>> {
        let mut line = Vec::new();
        loop {
            match self.peek()? {
                Some(b'\n') => {
                    self.read(&mut line, 0)?;
                }
                Some(b'\r') => {
                    // Empty only when LF follows; a lone CR is left in the line and reported by its reader.
                    line.clear();
                    if self.read(&mut line, 0)? == Line::TooLong {
                        return Ok(Some(b'\r'));
                    }
                }
                first => return Ok(first),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn lines(text: &[u8], buffer: usize) -> Vec<Vec<u8>> {
        let mut lines = Lines::new(BufReader::with_capacity(buffer, text));
        let mut all = Vec::new();
        loop {
            let mut line = Vec::new();
            match lines.read(&mut line, 100).unwrap() {
                Line::End => return all,
                outcome => assert_eq!(outcome, Line::Read),
            }
            all.push(line);
            assert_eq!(lines.number, all.len() as u64);
        }
    }

    #[test]
    fn line_ends_are_taken_off_wherever_the_buffer_breaks() {
        for buffer in 1..8 {
            assert_eq!(lines(b"ab\r\n\nc\rd\n\r\nlast\r", buffer), [&b"ab"[..], b"", b"c\rd", b"", b"last"]);
        }
    }

    #[test]
    fn a_line_over_the_limit_stops_before_it_is_held() {
        let mut lines = Lines::new(&b"ACGTACGT"[..]);
        let mut line = Vec::new();
        assert_eq!(lines.read(&mut line, 4).unwrap(), Line::TooLong);
        assert!(line.is_empty());
    }
}
