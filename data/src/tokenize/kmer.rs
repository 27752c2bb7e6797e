use std::path::Path;

use super::file::{self, utf8};
use super::{Encoding, Error, Layout, SpecialTokens, Tokenizer};

mod config;
mod overlapping;
mod vocabulary;

pub use config::KmerConfig;
use vocabulary::{Vocabulary, k_of_bert};

/// K-mers of DNA, side by side as the GENERator models read it, or overlapping as the first DNABERT does.
///
/// Side by side, from left to right, at each place: a special token written out, else the next run of at most k letters `A` to `Z`,
/// else one character. What has no id becomes the unknown token: a k-mer with `N`, a tail shorter than k, each lower-case
/// letter, each space. The frame is kept over a k-mer with `N` and starts anew after anything that is not `A` to `Z`.
///
/// Overlapping, there is a token for each k letters of the text, whatever they are; those with anything but `A C G T` are
/// unknown. A text of fewer than k letters is one unknown token, where DNABERT's scripts give none: no base is lost without
/// a word. Special tokens written out are text, and texts of more than 510 k-mers stay whole.
#[derive(Debug)]
pub struct KmerTokenizer {
    vocabulary: Vocabulary,
    special: SpecialTokens,
    unk: u32,
    start: Option<u32>,
    end: Option<u32>,
    layout: Layout,
    fingerprint: String,
    name: String,
}

impl KmerTokenizer {
    /// Loads `vocab.txt` and `tokenizer_config.json`, as [`from_dir`](super::from_dir) says.
    pub fn from_dir(dir: impl AsRef<Path>) -> Result<Self, Error> {
        let dir = dir.as_ref();
        let path = dir.join("vocab.txt");
        let mut config = KmerConfig::from_file(dir.join("tokenizer_config.json"))?;
        let vocabulary = file::read(&path)?;
        if !config.is_kmer() {
            let k = config.is_bert().then(|| k_of_bert(&vocabulary)).flatten();
            let Some(k) = k else {
                return Err(Error::Unknown { dir: dir.display().to_string(), class: config.tokenizer_class });
            };
            config = KmerConfig { names: config.names, ..KmerConfig::overlapping(k) };
        }
        Self::new(&vocabulary, &config, &path.display().to_string())
    }

    /// Takes the content of a `vocab.txt`; `name` stands for it in messages.
    pub fn new(vocabulary: &[u8], config: &KmerConfig, name: &str) -> Result<Self, Error> {
        let fault = |fault| Error::Vocabulary { file: name.to_owned(), fault };
        let k = config.checked_k().map_err(fault)?;
        let layout = config.layout(k).map_err(fault)?;
        let parsed = Vocabulary::parse(vocabulary, k).map_err(fault)?;
        let special = SpecialTokens::find(&config.names, |token| parsed.id(token));
        let unk = config.require("unknown", special.unk, "<oov>").map_err(fault)?;
        let start = config.start.then(|| config.require("start", special.start, "<s>")).transpose();
        let end = config.end.then(|| config.require("end", special.end, "</s>")).transpose();
        // What the marks are is part of what the tokenizer is: the same text gives other ids without them.
        let (kind, stride) = match layout {
            Layout::SideBySide => ("", ""),
            Layout::Overlapping => ("overlapping ", " stride=1"),
        };
        let settings = format!("k={k} start={} end={}{stride}", config.start, config.end);
        Ok(Self {
            vocabulary: parsed,
            special,
            unk,
            start: start.map_err(fault)?,
            end: end.map_err(fault)?,
            fingerprint: file::sha256(&[vocabulary, settings.as_bytes()]),
            layout,
            name: format!("{kind}{k}-mer"),
        })
    }

    /// Bases of a token.
    pub fn k(&self) -> usize {
        self.vocabulary.k()
    }

    /// Tokens of a text of nothing but bases, marks included.
    fn usual_tokens(&self, text: &str) -> usize {
        text.len().div_ceil(self.k()) + 2
    }

    /// The mark to put before a text. Scripts around these models write it into the text: it must not be there twice.
    fn start_mark(&self, text: &str, add_special: bool) -> Option<u32> {
        let written = || self.vocabulary.special_at(text).map(|(id, _)| id);
        self.start.filter(|&start| add_special && written() != Some(start))
    }

    /// Hands over each token that lies side by side with the others: its id, its first byte, one past its last.
    fn walk(&self, text: &str, mut push: impl FnMut(u32, usize, usize)) {
        let (bytes, k) = (text.as_bytes(), self.k());
        let mut at = 0;
        while at < text.len() {
            // Their last letters may be those of the text.
            if let Some(ids) = self.vocabulary.eight_kmers(&bytes[at..]) {
                for id in ids {
                    push(id, at, at + k);
                    at += k;
                }
                continue;
            }
            let (id, length) = self.vocabulary.next(&text[at..]);
            push(id.unwrap_or(self.unk), at, at + length);
            at += length;
        }
    }
}

impl Tokenizer for KmerTokenizer {
    fn encode(&self, text: &[u8], add_special: bool) -> Result<Encoding, Error> {
        let text = utf8(text)?;
        if self.layout == Layout::Overlapping {
            return Ok(self.encode_overlapping(text, add_special));
        }
        let mut encoding = Encoding::with_capacity(self.usual_tokens(text));
        if let Some(start) = self.start_mark(text, add_special) {
            encoding.push_special(start, 0);
        }
        self.walk(text, |id, start, end| encoding.push(id, start, end));
        if let Some(end) = self.end.filter(|_| add_special) {
            encoding.push_special(end, text.len());
        }
        Ok(encoding)
    }

    fn encode_ids(&self, text: &[u8], add_special: bool, out: &mut Vec<u32>) -> Result<(), Error> {
        let text = utf8(text)?;
        if self.layout == Layout::Overlapping {
            out.extend(self.encode_overlapping(text, add_special).ids);
            return Ok(());
        }
        out.reserve(self.usual_tokens(text));
        out.extend(self.start_mark(text, add_special));
        self.walk(text, |id, _, _| out.push(id));
        out.extend(self.end.filter(|_| add_special));
        Ok(())
    }

    fn encode_pair(&self, _: &[u8], _: &[u8], _: bool) -> Result<Encoding, Error> {
        Err(Error::NoPairs { name: self.name.clone() })
    }

    fn decode(&self, ids: &[u32]) -> Result<String, Error> {
        let mut text = String::with_capacity(ids.len() * self.k());
        for &id in ids {
            let token = self.token(id).ok_or(Error::UnknownId { id, size: self.vocab_size() })?;
            if !self.special.is_frame(id) {
                let shared =
                    if self.layout == Layout::Overlapping { overlapping::shared(&text, token) } else { 0 };
                text.push_str(&token[shared..]);
            }
        }
        Ok(text)
    }

    fn vocab_size(&self) -> usize {
        self.vocabulary.len()
    }

    fn special(&self) -> &SpecialTokens {
        &self.special
    }

    fn token(&self, id: u32) -> Option<&str> {
        self.vocabulary.token(id)
    }

    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn layout(&self) -> Layout {
        self.layout
    }
}
