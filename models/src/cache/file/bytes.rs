//! Numbers and lists as bytes, little-endian, and back without trusting them.

use std::io::{Read, Write};

use sha2::{Digest, Sha256};

use crate::cache::error::FileFault;

/// Writes numbers and lists, and the checksum of all of them.
pub struct Encoder<'a> {
    out: &'a mut dyn Write,
    buffer: Vec<u8>,
    hash: Sha256,
}

impl<'a> Encoder<'a> {
    pub(in crate::cache) fn new(out: &'a mut dyn Write) -> Self {
        Self { out, buffer: Vec::new(), hash: Sha256::new() }
    }

    /// Bytes as they are, without their number.
    pub(in crate::cache) fn bytes(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// One number.
    pub fn u32(&mut self, number: u32) {
        self.bytes(&number.to_le_bytes());
    }

    /// One number.
    pub fn u64(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    /// A list of numbers.
    pub fn u32s(&mut self, numbers: &[u32]) {
        self.u64(numbers.len() as u64);
        for number in numbers {
            self.u32(*number);
        }
    }

    /// A list of numbers.
    pub fn f32s(&mut self, numbers: &[f32]) {
        self.u64(numbers.len() as u64);
        for number in numbers {
            self.u32(number.to_bits());
        }
    }

    /// A list of numbers.
    pub fn f64s(&mut self, numbers: &[f64]) {
        self.u64(numbers.len() as u64);
        for number in numbers {
            self.u64(number.to_bits());
        }
    }

    /// A string.
    pub fn str(&mut self, text: &str) {
        self.u64(text.len() as u64);
        self.bytes(text.as_bytes());
    }

    pub(in crate::cache) fn flush(&mut self) -> Result<(), FileFault> {
        self.hash.update(&self.buffer);
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    /// Writes the checksum.
    pub(in crate::cache) fn finish(mut self) -> Result<(), FileFault> {
        self.flush()?;
        Ok(self.out.write_all(&self.hash.finalize())?)
    }
}

/// Bytes of the checksum at the end.
pub(in crate::cache) const CHECKSUM: u64 = 32;

/// Reads what [`Encoder`] wrote. A length is checked against what is left of the file before anything is allocated.
pub struct Decoder<'a> {
    input: &'a mut dyn Read,
    left: u64,
    hash: Sha256,
}

impl<'a> Decoder<'a> {
    /// `size` is that of the whole file.
    pub(in crate::cache) fn new(input: &'a mut dyn Read, size: u64) -> Result<Self, FileFault> {
        let left = size.checked_sub(CHECKSUM).ok_or(FileFault::Truncated { needed: CHECKSUM, left: size })?;
        Ok(Self { input, left, hash: Sha256::new() })
    }

    /// Refuses to go on if fewer bytes are left.
    pub(in crate::cache) fn announce(&self, needed: u64) -> Result<(), FileFault> {
        if needed > self.left {
            return Err(FileFault::Truncated { needed, left: self.left });
        }
        Ok(())
    }

    pub(in crate::cache) fn fill(&mut self, bytes: &mut [u8]) -> Result<(), FileFault> {
        self.announce(bytes.len() as u64)?;
        self.input.read_exact(bytes)?;
        self.hash.update(&*bytes);
        self.left -= bytes.len() as u64;
        Ok(())
    }

    /// One number.
    pub fn u32(&mut self) -> Result<u32, FileFault> {
        let mut bytes = [0; 4];
        self.fill(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// One number.
    pub fn u64(&mut self) -> Result<u64, FileFault> {
        let mut bytes = [0; 8];
        self.fill(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn list<const N: usize, T>(&mut self, number: impl Fn([u8; N]) -> T) -> Result<Vec<T>, FileFault> {
        let count = self.u64()?;
        self.announce(count.saturating_mul(N as u64))?;
        let mut bytes = vec![0; count as usize * N];
        self.fill(&mut bytes)?;
        Ok(bytes.as_chunks::<N>().0.iter().map(|bytes| number(*bytes)).collect())
    }

    /// A list of numbers.
    pub fn u32s(&mut self) -> Result<Vec<u32>, FileFault> {
        self.list(u32::from_le_bytes)
    }

    /// A list of numbers.
    pub fn f32s(&mut self) -> Result<Vec<f32>, FileFault> {
        self.list(f32::from_le_bytes)
    }

    /// A list of numbers.
    pub fn f64s(&mut self) -> Result<Vec<f64>, FileFault> {
        self.list(f64::from_le_bytes)
    }

    /// A string.
    pub fn str(&mut self) -> Result<String, FileFault> {
        String::from_utf8(self.list(|[byte]| byte)?).map_err(|_| FileFault::Corrupt("text that is not UTF-8"))
    }

    /// Compares the checksum; nothing may be left before it.
    pub(in crate::cache) fn finish(self) -> Result<(), FileFault> {
        if self.left > 0 {
            return Err(FileFault::Trailing(self.left));
        }
        let mut checksum = [0; CHECKSUM as usize];
        self.input.read_exact(&mut checksum)?;
        if checksum[..] != self.hash.finalize()[..] {
            return Err(FileFault::Checksum);
        }
        Ok(())
    }
}
