//! The model that ships with kilobase: small, trained by kilobase itself, embedded in the library. `models/pretrained` has its
//! card, with what it was trained on and what it is worth.

use crate::checkpoint::CONFIG;
use std::fs;
use std::io;
use std::path::Path;

/// What it is called.
pub const NAME: &str = "kilobase-dna-3m";

/// What it is, in one line.
pub const DESCRIPTION: &str = "a small decoder, trained on pieces of bacteria, yeast, worm, fly and human";

/// Its card, in Markdown: what it was trained on, and what it is worth.
pub const CARD: &str = include_str!("../pretrained/README.md");

/// Its files, a Hugging Face directory.
pub const FILES: [(&str, &[u8]); 4] = [
    (CONFIG, include_bytes!("../pretrained/config.json")),
    ("vocab.txt", include_bytes!("../pretrained/vocab.txt")),
    ("tokenizer_config.json", include_bytes!("../pretrained/tokenizer_config.json")),
    ("model.safetensors", include_bytes!("../pretrained/model.safetensors")),
];

/// Writes it to a folder, which may exist and be empty, for [`Checkpoint::open`](crate::checkpoint::Checkpoint::open).
pub fn unpack(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    FILES.into_iter().try_for_each(|(name, bytes)| fs::write(folder.join(name), bytes))
}
