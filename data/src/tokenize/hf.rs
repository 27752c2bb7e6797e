use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use serde_json::Value;
use tokenizers::{EncodeInput, ModelWrapper};

use super::bpe::Bpe;
use super::file::{self, utf8};
use super::special::Names;
use super::{Encoding, Error, Span, SpecialTokens, Tokenizer, VocabularyFault};

mod precheck;

/// A `tokenizer.json`, run by the `tokenizers` library, the reference for ids, or, where it asks for nothing but byte-pair
/// merges, by an encoder of ours that gives the same ids in time linear in the text ([`is_fast`](Self::is_fast)).
///
/// Truncation and padding saved in the file are dropped. They are left over from somebody's training run, and would cut
/// sequences without a word.
pub struct HfTokenizer {
    inner: tokenizers::Tokenizer,
    fast: Option<Fast>,
    tokens: Vec<Option<String>>,
    special: SpecialTokens,
    fingerprint: String,
    name: &'static str,
}

/// Our encoder, and the marks that the reference puts around its tokens: ids and type ids.
struct Fast {
    bpe: Bpe,
    before: Vec<(u32, u32)>,
    after: Vec<(u32, u32)>,
}

/// Ids above this are taken for damage; the table of tokens is as long as the largest id.
const LARGEST_ID: u32 = (1 << 22) - 1;

impl HfTokenizer {
    /// Loads `tokenizer.json` and, where there is one, the names of special tokens from `tokenizer_config.json`.
    pub fn from_dir(dir: impl AsRef<Path>) -> Result<Self, Error> {
        let dir = dir.as_ref();
        let config = dir.join("tokenizer_config.json");
        let config = if config.is_file() { Some((file::read(&config)?, config)) } else { None };
        let config = config.as_ref().map(|(bytes, path)| (&bytes[..], path.display().to_string()));
        let path = dir.join("tokenizer.json");
        Self::load(&file::read(&path)?, &path.display().to_string(), config)
    }

    /// Loads a `tokenizer.json` by itself, whatever it is called.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        Self::load(&file::read(path)?, &path.display().to_string(), None)
    }

    /// Loads the content of a `tokenizer.json`; `name` stands for it in messages.
    pub fn from_bytes(bytes: &[u8], name: &str) -> Result<Self, Error> {
        Self::load(bytes, name, None)
    }

    fn load(bytes: &[u8], name: &str, config: Option<(&[u8], String)>) -> Result<Self, Error> {
        let file = || name.to_owned();
        let names: Names = match config {
            None => Names::default(),
            Some((bytes, file)) => {
                serde_json::from_slice(bytes).map_err(|source| Error::Json { file, source })?
            }
        };
        let json: Value =
            serde_json::from_slice(bytes).map_err(|source| Error::Json { file: file(), source })?;
        let invalid = |reason| Error::Invalid { file: file(), reason };
        precheck::check(&json).map_err(invalid)?;
        let mut inner = guarded(|| tokenizers::Tokenizer::from_bytes(bytes)).map_err(invalid)?;
        inner
            .with_padding(None)
            .with_truncation(None)
            .map_err(|error| Error::Invalid { file: file(), reason: error.to_string() })?;
        let tokens = table(&inner).map_err(|fault| Error::Vocabulary { file: file(), fault })?;
        let special = SpecialTokens::find(&names, |token| inner.token_to_id(token));
        let kind = match inner.get_model() {
            ModelWrapper::BPE(_) => "bpe",
            ModelWrapper::WordPiece(_) => "wordpiece",
            ModelWrapper::WordLevel(_) => "wordlevel",
            ModelWrapper::Unigram(_) => "unigram",
        };
        let mut tokenizer =
            Self { inner, fast: None, tokens, special, fingerprint: file::sha256(&[bytes]), name: kind };
        // The marks around a text are numbers of their own in the file, which nothing has compared to the vocabulary.
        for marks in [tokenizer.encode(b"", true), tokenizer.encode_pair(b"", b"", true)] {
            let marks = marks.map_err(|error| invalid(error.to_string()))?;
            if let Some(id) = marks.ids.into_iter().find(|&id| tokenizer.token(id).is_none()) {
                return Err(invalid(format!("it adds token id {id}, which is not in the vocabulary")));
            }
        }
        if kind == "bpe" {
            tokenizer.fast = Bpe::load(&json).ok().and_then(|bpe| tokenizer.frame(bpe));
        }
        Ok(tokenizer)
    }

    /// Whether texts are encoded by our encoder. A text that it leaves to the reference, such as one with a special token
    /// written out, is encoded by that all the same.
    pub fn is_fast(&self) -> bool {
        self.fast.is_some()
    }

    /// Encodes by the `tokenizers` library, whatever the file asks for: what the faster way is compared with.
    pub fn encode_by_reference(&self, text: &[u8], add_special: bool) -> Result<Encoding, Error> {
        self.run(utf8(text)?, add_special)
    }

    /// Looks at what the reference puts around a token; none when that is not what it puts around nothing.
    fn frame(&self, bpe: Bpe) -> Option<Fast> {
        let (letter, id) = bpe.sample()?;
        let bare = self.run(std::str::from_utf8(&[letter]).ok()?, false).ok()?;
        let framed = self.run(std::str::from_utf8(&[letter]).ok()?, true).ok()?;
        let empty = self.run("", true).ok()?;
        let at = framed.special.iter().position(|special| !special)?;
        let marks = |range: std::ops::Range<usize>| -> Vec<(u32, u32)> {
            range.map(|at| (framed.ids[at], framed.type_ids[at])).collect()
        };
        let (before, after) = (marks(0..at), marks(at + 1..framed.len()));
        let around: Vec<u32> = before.iter().chain(&after).map(|mark| mark.0).collect();
        let as_expected = bare.ids == [id]
            && bare.type_ids == [0]
            && framed.ids[at] == id
            && framed.type_ids[at] == 0
            && framed.special.iter().filter(|special| !**special).count() == 1
            && around == empty.ids;
        as_expected.then_some(Fast { bpe, before, after })
    }

    fn run<'a>(&self, input: impl Into<EncodeInput<'a>>, add_special: bool) -> Result<Encoding, Error> {
        let encoding =
            guarded(|| self.inner.encode(input, add_special)).map_err(|reason| Error::Encode { reason })?;
        let sequences = encoding.get_sequence_ids();
        // Tokens of a text know their text; what the post-processor adds knows none.
        let special: Vec<bool> = sequences.iter().map(Option::is_none).collect();
        let spans = encoding
            .get_offsets()
            .iter()
            .zip(&special)
            .map(|(&(start, end), special)| if *special { Span::default() } else { Span { start, end } });
        Ok(Encoding {
            ids: encoding.get_ids().to_vec(),
            spans: spans.collect(),
            special,
            type_ids: encoding.get_type_ids().to_vec(),
            second: sequences.iter().position(|sequence| *sequence == Some(1)),
        })
    }
}

impl Fast {
    fn put_around(&self, mut encoding: Encoding) -> Encoding {
        let put = |encoding: &mut Encoding, at: usize, marks: &[(u32, u32)]| {
            encoding.ids.splice(at..at, marks.iter().map(|mark| mark.0));
            encoding.type_ids.splice(at..at, marks.iter().map(|mark| mark.1));
            encoding.special.splice(at..at, marks.iter().map(|_| true));
            encoding.spans.splice(at..at, marks.iter().map(|_| Span::default()));
        };
        put(&mut encoding, 0, &self.before);
        let end = encoding.len();
        put(&mut encoding, end, &self.after);
        encoding
    }
}

/// Runs the library, which panics on some files that are valid JSON but not what it expects, and gives its words.
fn guarded<T>(run: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(outcome) => outcome.map_err(|error| error.to_string()),
        Err(_) => Err("the tokenizers library failed on it".to_owned()),
    }
}

/// Token texts by id; refuses ids that two tokens share.
fn table(inner: &tokenizers::Tokenizer) -> Result<Vec<Option<String>>, VocabularyFault> {
    let mut entries: Vec<_> = inner.get_vocab(true).into_iter().collect();
    entries.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
    let Some(largest) = entries.last().map(|(_, id)| *id) else { return Err(VocabularyFault::Empty) };
    if largest > LARGEST_ID {
        let (token, id) = entries.pop().unwrap_or_default();
        return Err(VocabularyFault::IdRange { token, id, largest: LARGEST_ID });
    }
    let mut tokens = vec![None; largest as usize + 1];
    for (token, id) in entries {
        let slot: &mut Option<String> = &mut tokens[id as usize];
        if let Some(first) = slot.take() {
            return Err(VocabularyFault::DuplicateId { id, first, second: token });
        }
        *slot = Some(token);
    }
    Ok(tokens)
}

impl Tokenizer for HfTokenizer {
    fn encode(&self, text: &[u8], add_special: bool) -> Result<Encoding, Error> {
        // What is no UTF-8 is foreign to our encoder too.
        if let Some(fast) = &self.fast
            && let Some(encoding) = fast.bpe.encode(text)
        {
            return Ok(if add_special { fast.put_around(encoding) } else { encoding });
        }
        self.run(utf8(text)?, add_special)
    }

    fn encode_ids(&self, text: &[u8], add_special: bool, out: &mut Vec<u32>) -> Result<(), Error> {
        let start = out.len();
        if let Some(fast) = &self.fast {
            let marks = |marks: &[(u32, u32)], out: &mut Vec<u32>| {
                out.extend(marks.iter().filter(|_| add_special).map(|mark| mark.0));
            };
            marks(&fast.before, out);
            if fast.bpe.encode_ids(text, out).is_some() {
                marks(&fast.after, out);
                return Ok(());
            }
            out.truncate(start);
        }
        out.extend(self.run(utf8(text)?, add_special)?.ids);
        Ok(())
    }

    fn encode_pair(&self, first: &[u8], second: &[u8], add_special: bool) -> Result<Encoding, Error> {
        self.run((utf8(first)?, utf8(second)?), add_special)
    }

    fn decode(&self, ids: &[u32]) -> Result<String, Error> {
        let mut kept = Vec::with_capacity(ids.len());
        for &id in ids {
            if self.token(id).is_none() {
                return Err(Error::UnknownId { id, size: self.vocab_size() });
            }
            if !self.special.is_frame(id) {
                kept.push(id);
            }
        }
        if self.inner.get_decoder().is_some() {
            return self
                .inner
                .decode(&kept, false)
                .map_err(|error| Error::Encode { reason: error.to_string() });
        }
        // Without a decoder the library would put spaces between the pieces of a sequence.
        Ok(kept.iter().filter_map(|&id| self.token(id)).collect())
    }

    fn vocab_size(&self) -> usize {
        self.tokens.len()
    }

    fn special(&self) -> &SpecialTokens {
        &self.special
    }

    fn token(&self, id: u32) -> Option<&str> {
        self.tokens.get(id as usize)?.as_deref()
    }

    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn name(&self) -> &str {
        self.name
    }
}
