//! gzip (RFC 1952) member by member, and BGZF, which is gzip with small members and an end mark.
//!
//! The framing is read here, and not by the inflate library, because three things must be told apart that look alike
//! to it: a stream that stops short, a wrong checksum, and foreign bytes after a whole stream.

use std::fmt;
use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flate2::{Crc, Decompress, FlushDecompress, Status};

/// What is wrong with a compressed stream.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Damage {
    /// The stream stops inside a member.
    Truncated {
        /// The gzip member, from 1.
        member: u64,
    },
    /// Content and checksum of a member differ.
    Checksum {
        /// The gzip member, from 1.
        member: u64,
        /// The sum in the file.
        stored: u32,
        /// The sum of the content.
        computed: u32,
    },
    /// Content and stored length (modulo 2^32) of a member differ.
    Length {
        /// The gzip member, from 1.
        member: u64,
        /// The length in the file.
        stored: u32,
        /// The length of the content.
        computed: u32,
    },
    /// A member header uses a method or flags that RFC 1952 does not define.
    Header {
        /// The gzip member, from 1.
        member: u64,
    },
    /// The compressed data of a member is not valid.
    Data {
        /// The gzip member, from 1.
        member: u64,
    },
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { member } => write!(f, "the gzip stream is truncated in member {member}"),
            Self::Checksum { member, stored, computed } => {
                write!(f, "gzip member {member} has checksum {computed:08x}, its trailer says {stored:08x}")
            }
            Self::Length { member, stored, computed } => {
                write!(
                    f,
                    "gzip member {member} has {computed} bytes (modulo 2^32), its trailer says {stored}"
                )
            }
            Self::Header { member } => write!(f, "gzip member {member} has an invalid header"),
            Self::Data { member } => write!(f, "gzip member {member} holds invalid compressed data"),
        }
    }
}

impl std::error::Error for Damage {}

impl From<Damage> for io::Error {
    fn from(damage: Damage) -> Self {
        Self::new(io::ErrorKind::InvalidData, damage)
    }
}

enum State {
    /// Between members, at the first one too.
    Border,
    Inside,
    Done,
}

/// What was odd about a stream that could be read to its end.
#[derive(Default)]
pub(crate) struct Oddities {
    /// Bytes after the stream were ignored.
    pub(crate) trailing: AtomicBool,
    /// A BGZF stream lacks its empty last block.
    pub(crate) no_end_block: AtomicBool,
}

/// Reads the content of all members.
pub(crate) struct Inflate<R> {
    inner: R,
    state: State,
    decompress: Decompress,
    crc: Crc,
    member: u64,
    first_is_bgzf: bool,
    last_is_bgzf: bool,
    oddities: Arc<Oddities>,
}

impl<R: BufRead> Inflate<R> {
    /// `oddities` are set as they are met.
    pub(crate) fn new(inner: R, oddities: Arc<Oddities>) -> Self {
        Self {
            inner,
            state: State::Border,
            decompress: Decompress::new(false),
            crc: Crc::new(),
            member: 0,
            first_is_bgzf: false,
            last_is_bgzf: false,
            oddities,
        }
    }

    /// Counts on from `members` that lie before the stream, so that damage names the member of the file.
    pub(crate) fn after(self, members: u64) -> Self {
        Self { member: members, ..self }
    }

    /// Reads a member header, or ends the stream.
    fn begin(&mut self) -> io::Result<()> {
        let mut magic = [0; 2];
        let found = read_up_to(&mut self.inner, &mut magic)?;
        let is_start = magic[..found] == [0x1f, 0x8b][..found]; // a lone 0x1f is a member cut short
        if found == 0 || !is_start {
            if found > 0 {
                self.oddities.trailing.store(true, Ordering::Relaxed);
            }
            self.end();
            return Ok(());
        }
        self.member += 1;
        self.last_is_bgzf = self.read_header().map_err(|error| self.at_end_truncated(error))?;
        if self.member == 1 {
            self.first_is_bgzf = self.last_is_bgzf;
        }
        self.decompress.reset(false);
        self.crc.reset();
        self.state = State::Inside;
        Ok(())
    }

    fn end(&mut self) {
        self.state = State::Done;
        // The sum is still that of the last member: the end mark is a member without content.
        if self.first_is_bgzf && self.last_is_bgzf && self.crc.amount() > 0 {
            self.oddities.no_end_block.store(true, Ordering::Relaxed);
        }
    }

    /// Reads what follows the magic number; tells whether the member is a BGZF block.
    fn read_header(&mut self) -> io::Result<bool> {
        const HEADER_CRC: u8 = 2;
        const EXTRA: u8 = 4;
        const NAME: u8 = 8;
        const COMMENT: u8 = 16;
        const RESERVED: u8 = 0xe0;
        let [method, flags, ..] = self.read_array::<8>()?;
        if method != 8 || flags & RESERVED != 0 {
            return Err(Damage::Header { member: self.member }.into());
        }
        let mut is_bgzf = false;
        if flags & EXTRA != 0 {
            let length = u16::from_le_bytes(self.read_array()?);
            let mut extra = vec![0; usize::from(length)];
            self.inner.read_exact(&mut extra)?;
            is_bgzf = block_size(&extra).is_some();
        }
        for field in [NAME, COMMENT] {
            if flags & field != 0 {
                while self.read_array::<1>()? != [0] {}
            }
        }
        if flags & HEADER_CRC != 0 {
            self.read_array::<2>()?;
        }
        Ok(is_bgzf)
    }

    /// Checks the trailer of a member that has ended.
    fn finish(&mut self) -> io::Result<()> {
        let member = self.member;
        let stored = self.read_array::<4>().map_err(|error| self.at_end_truncated(error))?;
        let length = self.read_array::<4>().map_err(|error| self.at_end_truncated(error))?;
        let (stored, computed) = (u32::from_le_bytes(stored), self.crc.sum());
        if stored != computed {
            return Err(Damage::Checksum { member, stored, computed }.into());
        }
        let (stored, computed) = (u32::from_le_bytes(length), self.crc.amount());
        if stored != computed {
            return Err(Damage::Length { member, stored, computed }.into());
        }
        self.state = State::Border;
        Ok(())
    }

    fn read_array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut array = [0; N];
        self.inner.read_exact(&mut array)?;
        Ok(array)
    }

    fn at_end_truncated(&self, error: io::Error) -> io::Error {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            Damage::Truncated { member: self.member }.into()
        } else {
            error
        }
    }

    /// Inflates into `out`; 0 means that the member has ended.
    fn inflate(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let input = self.inner.fill_buf()?;
            let at_end = input.is_empty();
            let (before_in, before_out) = (self.decompress.total_in(), self.decompress.total_out());
            let status = self
                .decompress
                .decompress(input, out, FlushDecompress::None)
                .map_err(|_| Damage::Data { member: self.member })?;
            let consumed = (self.decompress.total_in() - before_in) as usize;
            let produced = (self.decompress.total_out() - before_out) as usize;
            self.inner.consume(consumed);
            self.crc.update(&out[..produced]);
            if produced > 0 || status == Status::StreamEnd {
                if status == Status::StreamEnd {
                    self.finish()?;
                }
                return Ok(produced);
            }
            if at_end {
                return Err(Damage::Truncated { member: self.member }.into());
            }
            if consumed == 0 {
                // No progress with input at hand and room in `out`: not a state that valid data leads to.
                return Err(Damage::Data { member: self.member }.into());
            }
        }
    }
}

impl<R: BufRead> Read for Inflate<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        loop {
            match self.state {
                State::Border => self.begin()?,
                State::Inside => match self.inflate(out)? {
                    0 => {}
                    produced => return Ok(produced),
                },
                State::Done => return Ok(0),
            }
        }
    }
}

/// The length of a BGZF block less one, from the subfield `BC` of an extra field, which is what makes a gzip member a
/// block (SAM specification, 4.1).
pub(crate) fn block_size(mut extra: &[u8]) -> Option<u16> {
    while let [a, b, low, high, rest @ ..] = extra {
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        if let (b'B', b'C', 2, [low, high, ..]) = (*a, *b, length, rest) {
            return Some(u16::from_le_bytes([*low, *high]));
        }
        extra = rest.get(length..).unwrap_or_default();
    }
    None
}

/// Fills as much of `buffer` as the stream has.
pub(crate) fn read_up_to(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
