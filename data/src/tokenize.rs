//! Text to tokens and back, with the place of every token in the text.
//!
//! ```no_run
//! use kilobase_data::tokenize;
//!
//! let tokenizer = tokenize::from_dir("models/dnabert2")?;
//! let encoding = tokenizer.encode(b"ACGTACGT", true)?;
//! for (id, span) in encoding.ids.iter().zip(&encoding.spans) {
//!     assert!(tokenizer.token(*id).is_some() && span.end <= 8);
//! }
//! # Ok::<(), tokenize::Error>(())
//! ```

use std::path::Path;

mod bpe;
mod dynamic;
mod encoding;
mod error;
mod file;
mod hf;
mod kmer;
mod special;
pub mod train;

pub use dynamic::merge_pairs;
pub use encoding::{Encoding, Layout, Span};
pub use error::{Error, VocabularyFault};
pub use hf::HfTokenizer;
pub use kmer::{KmerConfig, KmerTokenizer};
pub use special::SpecialTokens;

/// Turns text into the numbers that a model was trained on.
///
/// Nothing is truncated, padded or upper-cased: what a text becomes depends on the text alone.
pub trait Tokenizer: Send + Sync {
    /// Tokens of one text; `add_special` puts the model's marks around it. Text that is not UTF-8 is an error.
    fn encode(&self, text: &[u8], add_special: bool) -> Result<Encoding, Error>;

    /// Appends the ids alone, as [`encode`](Self::encode) gives them.
    fn encode_ids(&self, text: &[u8], add_special: bool, out: &mut Vec<u32>) -> Result<(), Error> {
        out.extend(self.encode(text, add_special)?.ids);
        Ok(())
    }

    /// Tokens of two texts as one sequence, for models trained on pairs. Spans count in the text they belong to.
    fn encode_pair(&self, first: &[u8], second: &[u8], add_special: bool) -> Result<Encoding, Error>;

    /// The text of tokens. Start, end and padding marks are left out; other special tokens give their names.
    fn decode(&self, ids: &[u32]) -> Result<String, Error>;

    /// One more than the largest id.
    fn vocab_size(&self) -> usize;

    /// The tokens with a meaning of their own.
    fn special(&self) -> &SpecialTokens;

    /// The text of one token.
    fn token(&self, id: u32) -> Option<&str>;

    /// SHA-256 of what defines the tokenizer, in hexadecimal: results made by equal tokenizers can be compared.
    fn fingerprint(&self) -> &str;

    /// What kind it is, for reports: `bpe`, `6-mer`, `overlapping 6-mer`.
    fn name(&self) -> &str;

    /// How the tokens of a text lie.
    fn layout(&self) -> Layout {
        Layout::SideBySide
    }
}

/// Loads the tokenizer of a model directory.
///
/// `tokenizer.json` goes first; else `vocab.txt` with a `tokenizer_config.json` that asks for k-mers, or with the vocabulary of
/// the first DNABERT: the marks of BERT and all k-mers of one k, which overlap. Anything else is an error: a guess would give
/// numbers that the model reads as other sequence.
pub fn from_dir(dir: impl AsRef<Path>) -> Result<Box<dyn Tokenizer>, Error> {
    let dir = dir.as_ref();
    if dir.join("tokenizer.json").is_file() {
        return Ok(Box::new(HfTokenizer::from_dir(dir)?));
    }
    if !dir.join("tokenizer_config.json").is_file() || !dir.join("vocab.txt").is_file() {
        return Err(Error::Unknown { dir: dir.display().to_string(), class: None });
    }
    Ok(Box::new(KmerTokenizer::from_dir(dir)?))
}

/// Loads `json` as a `tokenizer.json`, if it is one, and asserts what holds for every tokenizer: used by the property
/// tests and the fuzz targets.
#[doc(hidden)]
pub fn check_tokenizer_json(json: &[u8], text: &[u8]) {
    if let Ok(tokenizer) = HfTokenizer::from_bytes(json, "input") {
        check(&tokenizer, text);
    }
}

/// The same for `vocabulary` as a `vocab.txt` of k-mers, whose tokens must also spell the text.
#[doc(hidden)]
pub fn check_kmer_vocabulary(vocabulary: &[u8], k: u64, text: &[u8]) {
    if let Ok(tokenizer) = KmerTokenizer::new(vocabulary, &KmerConfig::new(k), "input") {
        check(&tokenizer, text);
        if let Ok(encoding) = tokenizer.encode(text, true) {
            let covered: usize = encoding.spans.iter().map(Span::len).sum();
            assert_eq!(covered, text.len(), "every byte is in a token");
        }
    }
    if let Ok(tokenizer) = KmerTokenizer::new(vocabulary, &KmerConfig::overlapping(k), "input") {
        check(&tokenizer, text);
        if let Ok(encoding) = tokenizer.encode(text, false) {
            let ends = encoding.spans.first().zip(encoding.spans.last());
            assert_eq!(
                ends.map_or((0, 0), |(a, b)| (a.start, b.end)),
                (0, text.len()),
                "every byte is in a token"
            );
        }
    }
}

/// Takes merges and a text from `bytes`, and asserts that our encoder gives what the reference gives: used by the fuzz target.
#[doc(hidden)]
pub fn check_merges(bytes: &[u8]) {
    let Some((&count, rest)) = bytes.split_first() else { return };
    let (choices, text) = rest.split_at(rest.len().min(2 * usize::from(count)));
    let mut tokens: Vec<String> = ["A", "C", "G", "T"].map(String::from).to_vec();
    let mut merges = Vec::new();
    for pair in choices.chunks_exact(2) {
        let half = |choice: u8| tokens[usize::from(choice) % tokens.len()].clone();
        let (left, right) = (half(pair[0]), half(pair[1]));
        let product = format!("{left}{right}");
        if product.len() <= 64 && !tokens.contains(&product) {
            merges.push(format!("{left} {right}"));
            tokens.push(product);
        }
    }
    let vocabulary: serde_json::Map<_, _> =
        tokens.iter().enumerate().map(|(id, token)| (token.clone(), serde_json::json!(id + 1))).collect();
    let mut json = serde_json::json!({
        "version": "1.0", "added_tokens": [], "pre_tokenizer": {"type": "Whitespace"},
        "model": {"type": "BPE", "unk_token": "?", "fuse_unk": false, "vocab": vocabulary, "merges": merges},
    });
    json["model"]["vocab"]["?"] = serde_json::json!(0);
    let tokenizer = HfTokenizer::from_bytes(json.to_string().as_bytes(), "input").expect("a valid tokenizer");
    assert!(tokenizer.is_fast() || merges.is_empty(), "nothing but merges");
    let text: String = text
        .iter()
        .map(|byte| char::from(b"ACGTACGTACGTACGTACGTACGTACGTNa -"[usize::from(byte % 32)]))
        .collect();
    let ours = tokenizer.encode(text.as_bytes(), true).expect("letters");
    assert_eq!(ours, tokenizer.encode_by_reference(text.as_bytes(), true).expect("letters"));
}

/// Asserts what holds for every tokenizer and text.
fn check(tokenizer: &dyn Tokenizer, text: &[u8]) {
    let size = tokenizer.vocab_size();
    for id in tokenizer.special().ids() {
        assert!((id as usize) < size, "special tokens are in the vocabulary");
    }
    let Ok(encoding) = tokenizer.encode(text, true) else { return };
    encoding.check(text.len(), tokenizer.layout());
    assert!(encoding.ids.iter().all(|&id| (id as usize) < size), "ids are in the vocabulary");
    if let Ok(bare) = tokenizer.encode(text, false) {
        assert!(bare.special.iter().all(|special| !special), "no special tokens unless asked for");
    }
}

#[cfg(test)]
mod tests;
