//! A cache as a file: what was computed once for a long context is read back and goes on bit by bit as if it had never
//! been away.
//!
//! `KBKVCACH`, version, settings, policy, then lists with their lengths, and SHA-256 of everything before it. Pages
//! are stored as they lie in memory, little-endian.

mod bytes;
mod check;

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;

use kilobase_kernels::rotary::RopeStyle;
use tempfile::NamedTempFile;

use super::error::{CacheError, FileFault};
use super::pipeline::Pipeline;
use super::pool::PagePool;
use super::{Config, KvCache};

pub use bytes::{Decoder, Encoder};
#[doc(hidden)]
pub use check::check;

const MAGIC: &[u8; 8] = b"KBKVCACH";
const VERSION: u32 = 1;

impl KvCache {
    /// Writes the cache with the state of its policies. The file appears under its name when it is whole.
    pub fn save(&self, path: &Path) -> Result<(), CacheError> {
        let save = || {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let mut file = NamedTempFile::new_in(parent.unwrap_or(Path::new(".")))?;
            let mut out = BufWriter::new(&mut file);
            self.write(&mut out)?;
            out.flush()?;
            drop(out);
            file.as_file().sync_all()?;
            file.persist(path).map_err(|error| error.error)?;
            Ok(())
        };
        save().map_err(|fault| CacheError::File { path: path.to_owned(), fault })
    }

    /// Reads a cache that was saved with the same settings and policies. Lengths in the file are checked against its
    /// size before anything is allocated; nothing in it is trusted.
    ///
    /// # Panics
    /// If the shape in `config` is impossible.
    pub fn load(path: &Path, config: Config, pool: &PagePool, policy: Pipeline) -> Result<Self, CacheError> {
        let mut cache = Self::new(config, pool, policy)?;
        let mut load = || {
            let file = File::open(path)?;
            let size = file.metadata()?.len();
            cache.read(&mut BufReader::new(file), size)
        };
        load().map_err(|fault| CacheError::File { path: path.to_owned(), fault })?;
        Ok(cache)
    }

    fn write(&self, out: &mut dyn Write) -> Result<(), FileFault> {
        let mut out = Encoder::new(out);
        self.write_settings(&mut out);
        out.u32(self.length);
        out.u32(self.rerotations);
        for (layer, trailing) in self.layers.iter().zip(&self.trailing) {
            layer.save(&mut out)?;
            trailing.save(&mut out);
        }
        for stage in &self.policy.stages {
            stage.save(&mut out);
        }
        out.finish()
    }

    fn write_settings(&self, out: &mut Encoder<'_>) {
        out.bytes(MAGIC);
        out.u32(VERSION);
        for (_, value) in self.settings() {
            out.str(&value);
        }
        out.f64s(self.config.rotary.as_ref().map_or(&[], |rotary| rotary.frequencies()));
    }

    /// Fills an empty cache from `size` bytes.
    fn read(&mut self, input: &mut dyn Read, size: u64) -> Result<(), FileFault> {
        let mut input = Decoder::new(input, size)?;
        let mut magic = [0; MAGIC.len()];
        input.fill(&mut magic)?;
        if magic != *MAGIC {
            return Err(FileFault::NotACache);
        }
        let version = input.u32()?;
        if version != VERSION {
            return Err(FileFault::Version(version));
        }
        for (what, ours) in self.settings() {
            let file = input.str()?;
            if file != ours {
                return Err(FileFault::Mismatch { what, file, ours });
            }
        }
        let frequencies = input.f64s()?;
        let ours = self.config.rotary.as_ref().map_or(&[][..], |rotary| rotary.frequencies());
        if !frequencies.iter().map(|f| f.to_bits()).eq(ours.iter().map(|f| f.to_bits())) {
            let show = |list: &[f64]| format!("{list:?}");
            return Err(FileFault::Mismatch {
                what: "the rotary table",
                file: show(&frequencies),
                ours: show(ours),
            });
        }
        self.length = input.u32()?;
        self.rerotations = input.u32()?;
        for (layer, trailing) in self.layers.iter_mut().zip(&mut self.trailing) {
            layer.load(&self.pool, &mut input)?;
            trailing.load(&mut input)?;
            let end = trailing.positions().iter().map(|&position| u64::from(position) + 1).max();
            if u64::from(layer.end()).max(end.unwrap_or(0)) > u64::from(self.length) {
                return Err(FileFault::Corrupt("a position beyond the length"));
            }
            if self.policy.is_shared() && !layer.is_shared() {
                return Err(FileFault::Corrupt("a head with slots of its own"));
            }
        }
        for stage in &mut self.policy.stages {
            stage.load(&mut input, &self.config)?;
        }
        input.finish()
    }

    /// What must be the same where it is loaded.
    fn settings(&self) -> [(&'static str, String); 11] {
        let Config { model, layers, query_heads, kv_heads, key_dim, value_dim, store, rotary, causal } =
            &self.config;
        let rotation = match rotary {
            None => "none".to_owned(),
            Some(rotary) => {
                let style = match rotary.style() {
                    RopeStyle::Half => "half",
                    RopeStyle::Interleaved => "interleaved",
                };
                format!("{style} times {}", rotary.factor())
            }
        };
        [
            ("the model", model.clone()),
            ("the number of layers", layers.to_string()),
            ("the number of query heads", query_heads.to_string()),
            ("the number of key/value heads", kv_heads.to_string()),
            ("the size of a key", key_dim.to_string()),
            ("the size of a value", value_dim.to_string()),
            ("the type of the numbers", format!("{store:?}")),
            ("the rotation of keys", rotation),
            ("whether the model is causal", causal.to_string()),
            ("the number of slots of a page", self.pool.slots().to_string()),
            ("the policy", self.policy.name()),
        ]
    }
}
