//! gzip (RFC 1952) member by member, and BGZF, which is gzip with small members and an end mark.
//!
//! The framing is read here, and not by the inflate library, because three things must be told apart that look alike
//! to it: a stream that stops short, a wrong checksum, and foreign bytes after a whole stream.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crc32fast::Hasher;

mod deflate;
mod input;
mod parallel;

pub(super) use deflate::check;
use deflate::{Deflate, Invalid, Pause};
use input::Input;
pub(super) use parallel::blocks;

/// How a gzip member begins.
pub(crate) const GZIP: &[u8] = &[0x1f, 0x8b];

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
    /// A BGZF block is longer or shorter than its header says.
    Size {
        /// The gzip member, from 1.
        member: u64,
        /// The length of the block in its header.
        stored: u32,
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
            Self::Size { member, stored } => {
                write!(f, "BGZF block {member} is not of the {stored} bytes that its header says")
            }
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

/// What was odd about a stream that could be read to its end.
#[derive(Default)]
pub(crate) struct Oddities {
    /// Bytes after the stream were ignored.
    pub(crate) trailing: AtomicBool,
    /// A BGZF stream lacks its empty last block.
    pub(crate) no_end_block: AtomicBool,
}

/// What a BGZF block says of its size.
struct Block {
    stored: u32,
    /// Bytes of compressed data that were not taken.
    left: usize,
}

enum State {
    /// Between members, at the first one too.
    Border,
    Inside,
    Done,
}

/// Reads the content of all members.
pub(crate) struct Inflate<R> {
    input: Input<R>,
    state: State,
    deflate: Deflate,
    /// What ends the stream, met after text that is given out first.
    failure: Option<io::Error>,
    /// Of the member: the sum of its content, and the length modulo 2^32.
    sum: Hasher,
    length: u32,
    member: u64,
    first_is_bgzf: bool,
    last_is_bgzf: bool,
    /// Of the compressed data of a block. What is beyond belongs to the next one, whatever the data say: several threads part
    /// a file by these sizes, and read the same.
    block: Option<Block>,
    oddities: Arc<Oddities>,
}

impl<R: Read> Inflate<R> {
    /// `oddities` are set as they are met.
    pub(crate) fn new(inner: R, oddities: Arc<Oddities>) -> Self {
        Self {
            input: Input::new(inner),
            state: State::Border,
            deflate: Deflate::new(),
            failure: None,
            sum: Hasher::new(),
            length: 0,
            member: 0,
            first_is_bgzf: false,
            last_is_bgzf: false,
            block: None,
            oddities,
        }
    }

    /// Counts on from `members` that lie before the stream, so that damage names the member of the file.
    pub(crate) fn after(self, members: u64) -> Self {
        Self { member: members, ..self }
    }

    /// Begins anew with another stream that `members` lie before.
    fn restart(&mut self, inner: R, members: u64) {
        self.input.restart(inner);
        self.deflate.reset();
        self.state = State::Border;
        self.failure = None;
        self.member = members;
    }

    /// Reads a member header, or ends the stream.
    fn begin(&mut self) -> io::Result<()> {
        self.input.ensure(2)?;
        let found = self.input.ready();
        let found = &found[..found.len().min(2)];
        let is_start = *found == GZIP[..found.len()]; // a lone 0x1f is a member cut short
        if found.is_empty() || !is_start {
            if !found.is_empty() {
                self.oddities.trailing.store(true, Ordering::Relaxed);
            }
            self.end();
            return Ok(());
        }
        self.input.at += found.len();
        self.member += 1;
        self.block = self.read_header()?;
        self.last_is_bgzf = self.block.is_some();
        if self.member == 1 {
            self.first_is_bgzf = self.last_is_bgzf;
        }
        self.deflate.reset();
        self.sum.reset();
        self.length = 0;
        self.state = State::Inside;
        Ok(())
    }

    fn end(&mut self) {
        self.state = State::Done;
        // The length is still that of the last member: the end mark is a member without content.
        if self.first_is_bgzf && self.last_is_bgzf && self.length > 0 {
            self.oddities.no_end_block.store(true, Ordering::Relaxed);
        }
    }

    /// Reads what follows the magic number, which for a BGZF block says its size.
    fn read_header(&mut self) -> io::Result<Option<Block>> {
        const FIXED: usize = 10;
        const TRAILER: usize = 8;
        const HEADER_CRC: u8 = 2;
        const EXTRA: u8 = 4;
        const NAME: u8 = 8;
        const COMMENT: u8 = 16;
        const RESERVED: u8 = 0xe0;
        let [method, flags, ..] = self.take::<8>()?;
        if method != 8 || flags & RESERVED != 0 {
            return Err(Damage::Header { member: self.member }.into());
        }
        let (mut size, mut length) = (None, FIXED);
        if flags & EXTRA != 0 {
            let fields = u16::from_le_bytes(self.take()?);
            let mut extra = Vec::new();
            for _ in 0..fields {
                extra.extend(self.take::<1>()?);
            }
            size = block_size(&extra).map(|size| u32::from(size) + 1);
            length += 2 + extra.len();
        }
        for field in [NAME, COMMENT] {
            if flags & field != 0 {
                length += 1;
                while self.take::<1>()? != [0] {
                    length += 1;
                }
            }
        }
        if flags & HEADER_CRC != 0 {
            self.take::<2>()?;
            length += 2;
        }
        let Some(stored) = size else { return Ok(None) };
        let left = (stored as usize).checked_sub(length + TRAILER);
        let left = left.ok_or(Damage::Size { member: self.member, stored })?;
        Ok(Some(Block { stored, left }))
    }

    /// Checks the trailer of a member that has ended.
    fn finish(&mut self) -> io::Result<()> {
        let member = self.member;
        if let Some(Block { stored, left: 1.. }) = self.block {
            return Err(Damage::Size { member, stored }.into());
        }
        let (stored, length) = (self.take::<4>()?, self.take::<4>()?);
        let (stored, computed) = (u32::from_le_bytes(stored), self.sum.clone().finalize());
        if stored != computed {
            return Err(Damage::Checksum { member, stored, computed }.into());
        }
        let (stored, computed) = (u32::from_le_bytes(length), self.length);
        if stored != computed {
            return Err(Damage::Length { member, stored, computed }.into());
        }
        self.state = State::Border;
        Ok(())
    }

    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        self.input.take()?.ok_or_else(|| Damage::Truncated { member: self.member }.into())
    }

    /// Decodes some of a member, after all that came before has been given out.
    fn decode(&mut self) -> io::Result<()> {
        // A block of BGZF whole, so that it is decoded at once.
        self.input.ensure(self.block.as_ref().map_or(1, |block| block.left.clamp(1, 1 << 16)))?;
        let mut input = self.input.ready();
        // What is beyond a block is not its own.
        let block = self.block.as_ref().filter(|block| block.left <= input.len());
        let beyond = block.map(|block| Damage::Size { member: self.member, stored: block.stored });
        input = &input[..block.map_or(input.len(), |block| block.left)];
        let (taken, outcome) = self.deflate.decode(input, block.is_some());
        self.input.at += taken;
        if let Some(block) = &mut self.block {
            block.left -= taken;
        }
        let made = self.deflate.pending();
        self.sum.update(made);
        self.length = self.length.wrapping_add(made.len() as u32);
        let (member, stands) = (self.member, taken == 0 && made.is_empty());
        let outcome = match outcome {
            Ok(Pause::End) => self.finish(),
            Ok(Pause::Short) if stands => Err(beyond.unwrap_or(Damage::Truncated { member }).into()),
            Ok(Pause::Full | Pause::Short) => Ok(()),
            Err(Invalid) => Err(Damage::Data { member }.into()),
        };
        // What was decoded before is right, and goes out first.
        self.failure = outcome.err();
        Ok(())
    }
}

impl<R: Read> Read for Inflate<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while !out.is_empty() {
            let ready = self.deflate.pending();
            if !ready.is_empty() {
                let count = ready.len().min(out.len());
                out[..count].copy_from_slice(&ready[..count]);
                self.deflate.take(count);
                return Ok(count);
            }
            if let Some(failure) = self.failure.take() {
                self.state = State::Done;
                return Err(failure);
            }
            match self.state {
                State::Done => break,
                State::Border => self.begin()?,
                State::Inside => self.decode()?,
            }
        }
        Ok(0)
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
