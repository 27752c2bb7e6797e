//! Model files: the frame of [`model_file`], magic "KBCLASS\n".
//!
//! The body has the rule for letters, the settings, the classes and, for each context, all counts in the order of their keys. So the bytes depend on
//! the counts only. Numbers are little endian, or LEB128 where they are small.

use std::io::{Read, Write};

use super::{Class, Context, Counts, Error, MOST_CLASSES, Model, Result, Settings};
use crate::compress::Letters;
use crate::compress::model_file::{
    self, Error as FileError, cut, put, put_bytes, take, take_array, take_below, take_text,
};

const MAGIC: [u8; 8] = *b"KBCLASS\n";
/// Of the format. Files of version 1 do not say how letters are read.
const VERSION: u32 = 2;
const MOST_CONTEXTS: u64 = 64;

impl Model {
    /// Writes the model.
    pub fn write(&self, out: &mut impl Write) -> Result<()> {
        let mut body = Vec::new();
        self.put(&mut body);
        Ok(model_file::write(out, MAGIC, VERSION, &body)?)
    }

    /// Reads a model, and refuses what is damaged.
    pub fn read(input: &mut impl Read) -> Result<Self> {
        let body = model_file::read(input, MAGIC, VERSION)?;
        let mut bytes = &body[..];
        let model = Self::take(&mut bytes)?;
        if !bytes.is_empty() {
            return Err(FileError::Invalid { what: "bytes follow the model" }.into());
        }
        Ok(model)
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        self.letters.put(out);
        out.extend(self.settings.decay.to_le_bytes());
        out.extend(self.temperature.to_le_bytes());
        put(out, self.classes.len() as u64);
        for class in &self.classes {
            put_bytes(out, class.name.as_bytes());
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
        let letters = Letters::take(bytes)?;
        let decay = f64::from_le_bytes(take_array(bytes)?);
        let temperature = f64::from_le_bytes(take_array(bytes)?);
        if !(decay > 0.0 && decay <= 1.0 && temperature > 0.0 && temperature.is_finite()) {
            return Err(FileError::Invalid { what: "the decay or the temperature is out of range" }.into());
        }
        let mut classes = Vec::new();
        for _ in 0..take_below(bytes, MOST_CLASSES as u64, "there are too many classes")? {
            let name = take_text(bytes)?;
            classes.push(Class { name, sequences: take(bytes)?, letters: take(bytes)? });
        }
        if classes.len() < 2 {
            return Err(Error::TooFewClasses { classes: classes.len() });
        }
        let (mut contexts, mut tables) = (Vec::new(), Vec::new());
        for _ in 0..take_below(bytes, MOST_CONTEXTS, "there are too many contexts")? {
            let code = take_array::<2>(bytes)?;
            let context = Context::from_code((code[0], code[1])).ok_or(FileError::Invalid {
                what: "a context is of a kind that this program does not know",
            })?;
            tables.push(take_counts(bytes, context, classes.len())?);
            contexts.push(context);
        }
        if contexts.is_empty() {
            return Err(FileError::Invalid { what: "it has no contexts" }.into());
        }
        Ok(Self { settings: Settings { contexts, decay }, letters, classes, tables, temperature })
    }
}

fn take_counts(bytes: &mut &[u8], context: Context, classes: usize) -> Result<Counts> {
    let entries = take(bytes)?;
    // Each takes three bytes at least.
    if entries > bytes.len() as u64 / 3 {
        return Err(cut().into());
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
            return Err(FileError::Invalid { what: "a count is out of range" }.into());
        }
        counts.count(key, base, class, count as u16)?;
    }
    Ok(counts)
}

/// Reads bytes as the body of a model and uses it: used by the property tests and the fuzz target.
#[doc(hidden)]
pub fn check(body: &[u8]) {
    let mut file = Vec::new();
    model_file::write(&mut file, MAGIC, VERSION, body).expect("memory to memory");
    if let Ok(model) = Model::read(&mut &file[..]) {
        let score = model.score(b"ACGTNACGTTTGACAGGGACTAG");
        assert_eq!(score.bits.len(), model.classes().len());
        let mut again = Vec::new();
        model.write(&mut again).expect("memory to memory");
        assert!(Model::read(&mut &again[..]).is_ok(), "what was written can be read");
    }
    let _ = Model::read(&mut &body[..]);
}
