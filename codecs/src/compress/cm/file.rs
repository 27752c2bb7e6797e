//! Model files.
//!
//! ```text
//! 8 bytes   magic "KBCLASS\n"
//! u32       version
//! u64       length of the body as stored
//! u64       length of the body
//! ...       body, as one frame of zstd
//! 32 bytes  SHA-256 of all before
//! ```
//!
//! The body has the settings, the classes and, for each context, all counts in the order of their keys. So the bytes depend on
//! the counts only. Numbers are little endian, or LEB128 where they are small.

use std::io::{Read, Write};

use sha2::{Digest, Sha256};

use super::{Class, Context, Counts, Error, MOST_CLASSES, Model, Result, Settings};

const MAGIC: &[u8; 8] = b"KBCLASS\n";
/// Of the format.
const VERSION: u32 = 1;
const HEAD: usize = 8 + 4 + 8 + 8;
const LEVEL: i32 = 3;
/// A name of a class has so many bytes at most, and a model so many contexts.
const MOST_NAME: u64 = 1 << 12;
const MOST_CONTEXTS: u64 = 64;
/// Larger models do not fit the tables that they are made from.
const MOST_BODY: u64 = 1 << 36;

impl Model {
    /// Writes the model.
    pub fn write(&self, out: &mut impl Write) -> Result<()> {
        let mut body = Vec::new();
        self.put(&mut body);
        let stored = zstd::bulk::compress(&body, LEVEL)?;
        let mut file = Vec::with_capacity(HEAD + stored.len());
        file.extend(MAGIC);
        file.extend(VERSION.to_le_bytes());
        file.extend((stored.len() as u64).to_le_bytes());
        file.extend((body.len() as u64).to_le_bytes());
        file.extend(&stored);
        out.write_all(&file)?;
        out.write_all(&Sha256::digest(&file))?;
        Ok(())
    }

    /// Reads a model, and refuses what is damaged.
    pub fn read(input: &mut impl Read) -> Result<Self> {
        let mut head = [0; HEAD];
        input.read_exact(&mut head).map_err(short)?;
        if head[..8] != MAGIC[..] {
            return Err(Error::Magic);
        }
        let version = u32::from_le_bytes(head[8..12].try_into().expect("four bytes"));
        if version != VERSION {
            return Err(Error::Version { version, known: VERSION });
        }
        let number = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().expect("eight bytes"));
        let (stored, body) = (number(12), number(20));
        // Read before memory is taken for what the file says of itself.
        let mut rest = Vec::new();
        input.take(stored.saturating_add(33)).read_to_end(&mut rest)?;
        if rest.len() as u64 != stored.saturating_add(32) {
            return Err(Error::Invalid { what: "its length is another than it says" });
        }
        let (stored, sum) = rest.split_at(rest.len() - 32);
        if Sha256::new().chain_update(head).chain_update(stored).finalize()[..] != *sum {
            return Err(Error::Checksum);
        }
        if body > MOST_BODY || body > 4096 + (stored.len() as u64).saturating_mul(1 << 14) {
            return Err(Error::Invalid { what: "it says to be larger than its data can make it" });
        }
        let body = zstd::bulk::decompress(stored, body as usize)?;
        let mut bytes = &body[..];
        let model = Self::take(&mut bytes)?;
        if !bytes.is_empty() {
            return Err(Error::Invalid { what: "bytes follow the model" });
        }
        Ok(model)
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.extend(self.settings.decay.to_le_bytes());
        out.extend(self.temperature.to_le_bytes());
        put(out, self.classes.len() as u64);
        for class in &self.classes {
            put(out, class.name.len() as u64);
            out.extend(class.name.as_bytes());
            put(out, class.sequences);
            put(out, class.letters);
        }
        put(out, self.tables.len() as u64);
        for (context, table) in self.settings.contexts.iter().zip(&self.tables) {
            let (kind, count) = context.code();
            out.extend([kind, count]);
            let counts = table.sorted();
            put(out, counts.len() as u64);
            let mut before = 0;
            for (key, base, class, count) in counts {
                put(out, key - before);
                before = key;
                put(out, u64::from(class) << 2 | u64::from(base));
                put(out, u64::from(count));
            }
        }
    }

    fn take(bytes: &mut &[u8]) -> Result<Self> {
        let decay = f64::from_le_bytes(take_array(bytes)?);
        let temperature = f64::from_le_bytes(take_array(bytes)?);
        if !(decay > 0.0 && decay <= 1.0 && temperature > 0.0 && temperature.is_finite()) {
            return Err(Error::Invalid { what: "the decay or the temperature is out of range" });
        }
        let mut classes = Vec::new();
        for _ in 0..take_below(bytes, MOST_CLASSES as u64, "there are too many classes")? {
            let length = take_below(bytes, MOST_NAME, "the name of a class is too long")? as usize;
            let name = bytes.split_off(..length).ok_or_else(cut)?;
            let name = String::from_utf8(name.to_vec())
                .map_err(|_| Error::Invalid { what: "the name of a class is not UTF-8" })?;
            classes.push(Class { name, sequences: take(bytes)?, letters: take(bytes)? });
        }
        if classes.len() < 2 {
            return Err(Error::TooFewClasses { classes: classes.len() });
        }
        let (mut contexts, mut tables) = (Vec::new(), Vec::new());
        for _ in 0..take_below(bytes, MOST_CONTEXTS, "there are too many contexts")? {
            let code = take_array::<2>(bytes)?;
            let context = Context::from_code((code[0], code[1]))
                .ok_or(Error::Invalid { what: "a context is of a kind that this program does not know" })?;
            tables.push(take_counts(bytes, context, classes.len())?);
            contexts.push(context);
        }
        if contexts.is_empty() {
            return Err(Error::Invalid { what: "it has no contexts" });
        }
        Ok(Self { settings: Settings { contexts, decay }, classes, tables, temperature })
    }
}

fn take_counts(bytes: &mut &[u8], context: Context, classes: usize) -> Result<Counts> {
    let entries = take(bytes)?;
    // Each takes three bytes at least.
    if entries > bytes.len() as u64 / 3 {
        return Err(cut());
    }
    let mut counts = Counts::new(context, classes, entries / 2);
    let limit = 1_u64 << context.key_bits();
    let mut key = 0_u64;
    for _ in 0..entries {
        key = key.saturating_add(take(bytes)?);
        let cell = take(bytes)?;
        let (class, base) = ((cell >> 2) as usize, (cell & 3) as u8);
        let count = take(bytes)?;
        if key >= limit || class >= classes || !(1..=u64::from(u16::MAX)).contains(&count) {
            return Err(Error::Invalid { what: "a count is out of range" });
        }
        counts.count(key, base, class, count as u16)?;
    }
    Ok(counts)
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 128 {
        out.push(number as u8 | 128);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take(bytes: &mut &[u8]) -> Result<u64> {
    let mut number = 0;
    for shift in (0..63).step_by(7) {
        let &byte = bytes.split_off_first().ok_or_else(cut)?;
        number |= u64::from(byte & 127) << shift;
        if byte < 128 {
            return Ok(number);
        }
    }
    Err(Error::Invalid { what: "a number is too long" })
}

fn take_below(bytes: &mut &[u8], most: u64, what: &'static str) -> Result<u64> {
    let number = take(bytes)?;
    if number > most { Err(Error::Invalid { what }) } else { Ok(number) }
}

fn take_array<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N]> {
    let array = bytes.split_off(..N).ok_or_else(cut)?;
    Ok(array.try_into().expect("N bytes"))
}

fn cut() -> Error {
    Error::Invalid { what: "it ends too early" }
}

fn short(error: std::io::Error) -> Error {
    if error.kind() == std::io::ErrorKind::UnexpectedEof { Error::Magic } else { error.into() }
}
