use std::collections::HashMap;

use serde_json::Value;

use super::longest::Longest;
use super::merges::{Merges, NONE};
use super::pairs::Pairs;
use super::{Bpe, Class};

/// Why a tokenizer is left to the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::tokenize) enum Refusal {
    /// The model is something else.
    #[error("it is not byte-pair encoding")]
    Model,
    /// The file asks for more than merges.
    #[error("{0} is set")]
    Setting(&'static str),
    /// Two merges make one token, or it was there before.
    #[error("two merges make the same token")]
    Product,
    /// A merge joins what a later one makes.
    #[error("a merge comes before the merges that make its halves")]
    Order,
    /// Letters are not single bytes, or merge with the unknown token or across words.
    #[error("its letters are not those of sequences")]
    Letters,
    /// A token is longer than any in use.
    #[error("a token is too long")]
    Length,
}

/// The pre-tokenizers that are known here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Words {
    /// The text is one word.
    Whole,
    /// White space parts words.
    Spaces,
    /// So does punctuation.
    Punctuation,
}

impl Bpe {
    /// Reads a `tokenizer.json` that [the reference](super::super::HfTokenizer) has accepted.
    pub(in crate::tokenize) fn load(json: &Value) -> Result<Self, Refusal> {
        let model = &json["model"];
        let (Some(vocabulary), Some(merges)) = (model["vocab"].as_object(), model["merges"].as_array())
        else {
            return Err(Refusal::Model);
        };
        let words = check(json)?;
        let id = |token: &str| Some(vocabulary.get(token)?.as_u64()? as u32);
        let unknown = model["unk_token"].as_str();

        let pairs = merges.iter().map(pair).collect::<Option<Vec<_>>>().ok_or(Refusal::Model)?;
        let bytes = letters(&pairs)?;
        let mut numbers: HashMap<String, u32> = HashMap::new();
        let mut ids = Vec::new();
        for (code, byte) in bytes.iter().enumerate() {
            let letter = char::from(*byte).to_string();
            if words == Words::Punctuation && !(byte.is_ascii_alphanumeric() || *byte == b'_')
                || words != Words::Whole && byte.is_ascii_whitespace()
                || unknown == Some(letter.as_str())
            {
                return Err(Refusal::Letters);
            }
            ids.push(id(&letter).ok_or(Refusal::Model)?);
            numbers.insert(letter, code as u32);
        }
        let mut halves = Vec::with_capacity(pairs.len());
        for (left, right) in &pairs {
            let product = format!("{left}{right}");
            let number = |half: &str| numbers.get(half).copied().ok_or(Refusal::Order);
            halves.push((number(left)?, number(right)?));
            if unknown == Some(product.as_str()) {
                return Err(Refusal::Letters);
            }
            ids.push(id(&product).ok_or(Refusal::Model)?);
            if numbers.insert(product, ids.len() as u32 - 1).is_some() {
                return Err(Refusal::Product);
            }
        }
        let merges = Merges::new(bytes.len() as u32, halves)?;
        let mut lengths = merges.lengths().to_vec();

        let mut alone = |id: u32| {
            ids.push(id);
            lengths.push(1);
            Class::Alone(ids.len() as u32 - 1)
        };
        let unknown = unknown.map(|token| id(token).ok_or(Refusal::Model)).transpose()?;
        let unknown = unknown.map_or(Class::Foreign, &mut alone);
        let mut classes = [Class::Foreign; 256];
        for byte in 0..128_u8 {
            classes[usize::from(byte)] = if let Some(code) = bytes.iter().position(|&letter| letter == byte) {
                Class::Letter(code as u8)
            } else if words != Words::Whole && is_space(byte) {
                Class::Space
            } else {
                id(char::from(byte).encode_utf8(&mut [0; 4])).map_or(unknown, &mut alone)
            };
        }
        // Added tokens are looked for before anything else: a text that may hold one goes to the reference.
        for token in json["added_tokens"].as_array().into_iter().flatten() {
            let Some(&first) = token["content"].as_str().unwrap_or_default().as_bytes().first() else {
                return Err(Refusal::Setting("an added token without text"));
            };
            if matches!(classes[usize::from(first)], Class::Letter(_)) {
                return Err(Refusal::Setting("an added token that begins as sequences do"));
            }
            classes[usize::from(first)] = Class::Foreign;
        }
        debug_assert!(!lengths.is_empty() && NONE as usize > lengths.len());
        let pairs = Pairs::new(merges);
        let longest = Longest::new(pairs.merges(), &pairs.reachable(), bytes.len(), bytes == *b"ACTG");
        Ok(Self { ids, lengths, classes, longest, pairs })
    }

    /// A letter that may merge, and its id.
    pub(in crate::tokenize) fn sample(&self) -> Option<(u8, u32)> {
        (0..128_u8).find_map(|byte| match self.classes[usize::from(byte)] {
            Class::Letter(code) => Some((byte, self.ids[usize::from(code)])),
            _ => None,
        })
    }
}

/// Refuses what is more than merges; gives what parts words.
fn check(json: &Value) -> Result<Words, Refusal> {
    let model = &json["model"];
    let is_set = |value: &Value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Number(number) => number.as_f64() != Some(0.0),
        _ => true,
    };
    if model["type"].as_str().is_some_and(|kind| kind != "BPE") {
        return Err(Refusal::Model);
    }
    for setting in [
        "dropout",
        "continuing_subword_prefix",
        "end_of_word_suffix",
        "fuse_unk",
        "byte_fallback",
        "ignore_merges",
    ] {
        if is_set(&model[setting]) {
            return Err(Refusal::Setting(setting));
        }
    }
    if !json["normalizer"].is_null() {
        return Err(Refusal::Setting("normalizer"));
    }
    match json["post_processor"]["type"].as_str() {
        Some("TemplateProcessing" | "BertProcessing") => {}
        None if json["post_processor"].is_null() => {}
        _ => return Err(Refusal::Setting("post_processor")),
    }
    match json["pre_tokenizer"]["type"].as_str() {
        None if json["pre_tokenizer"].is_null() => Ok(Words::Whole),
        Some("WhitespaceSplit") => Ok(Words::Spaces),
        Some("Whitespace") => Ok(Words::Punctuation),
        _ => Err(Refusal::Setting("pre_tokenizer")),
    }
}

/// White space in ASCII as Unicode has it.
fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | b' ')
}

fn pair(merge: &Value) -> Option<(&str, &str)> {
    match merge {
        Value::String(text) => text.split_once(' '),
        Value::Array(halves) => match &halves[..] {
            [Value::String(left), Value::String(right)] => Some((left, right)),
            _ => None,
        },
        _ => None,
    }
}

/// The letters that merge, by what their low bits say of the four bases, else in their order.
fn letters(pairs: &[(&str, &str)]) -> Result<Vec<u8>, Refusal> {
    let mut letters = Vec::new();
    for byte in pairs.iter().flat_map(|(left, right)| left.bytes().chain(right.bytes())) {
        if !byte.is_ascii() {
            return Err(Refusal::Letters);
        }
        if !letters.contains(&byte) {
            letters.push(byte);
        }
    }
    letters.sort_unstable();
    if letters == *b"ACGT" {
        letters.swap(2, 3);
    }
    Ok(letters)
}
