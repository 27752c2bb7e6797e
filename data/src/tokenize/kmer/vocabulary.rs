use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::tokenize::VocabularyFault as Fault;

/// Tokens and ids of a `vocab.txt`.
#[derive(Debug)]
pub(super) struct Vocabulary {
    k: usize,
    tokens: Vec<String>,
    ids: HashMap<String, u32>,
    /// Ids of k-mers over `ATCG` by their letters in two bits each: the way that nearly all text takes.
    kmers: Vec<u32>,
    /// Ids of tokens in angle brackets, longest first.
    special: Vec<u32>,
}

/// Four times the 8-mers, the longest k-mers that are read: room for any number of special tokens.
const LARGEST: usize = 1 << 18;

impl Vocabulary {
    /// Reads either shape: a token a line, numbered from 0, or `token id`.
    pub(super) fn parse(bytes: &[u8], k: usize) -> Result<Self, Fault> {
        let text = std::str::from_utf8(bytes).map_err(|_| Fault::NotUtf8)?;
        let count = text.lines().count();
        if count > LARGEST {
            return Err(Fault::TooMany { found: count, largest: LARGEST });
        }
        let lines: Vec<&str> = text.lines().collect();
        let numbered = lines.first().is_some_and(|line| line.contains(' '));
        let mut ids = HashMap::with_capacity(lines.len());
        let mut tokens: Vec<Option<String>> = vec![None; lines.len()];
        for (index, line) in lines.iter().enumerate() {
            let (token, id) = if numbered { parse_numbered(line, index)? } else { parse_bare(line, index)? };
            match ids.entry(token.to_owned()) {
                Entry::Occupied(first) => {
                    return Err(Fault::DuplicateToken {
                        token: token.into(),
                        first: *first.get(),
                        second: id,
                    });
                }
                Entry::Vacant(slot) => slot.insert(id),
            };
            // As many ids as lines, none twice, none beyond: no id is without a token.
            let largest = lines.len() as u32 - 1;
            let Some(slot) = tokens.get_mut(id as usize) else {
                return Err(Fault::IdRange { token: token.into(), id, largest });
            };
            if let Some(first) = slot.replace(token.to_owned()) {
                return Err(Fault::DuplicateId { id, first, second: token.into() });
            }
        }
        let tokens: Vec<String> = tokens.into_iter().flatten().collect();
        if tokens.is_empty() {
            return Err(Fault::Empty);
        }
        let kmers = kmer_table(&tokens, k)?;
        let bracketed = |token: &String| token.len() > 2 && token.starts_with('<') && token.ends_with('>');
        let mut special: Vec<u32> =
            (0..tokens.len() as u32).filter(|&id| bracketed(&tokens[id as usize])).collect();
        special.sort_by_key(|&id| std::cmp::Reverse(tokens[id as usize].len()));
        Ok(Self { k, tokens, ids, kmers, special })
    }

    pub(super) fn k(&self) -> usize {
        self.k
    }

    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    pub(super) fn id(&self, token: &str) -> Option<u32> {
        self.ids.get(token).copied()
    }

    pub(super) fn token(&self, id: u32) -> Option<&str> {
        self.tokens.get(id as usize).map(String::as_str)
    }

    /// The special token that a text starts with, and its length.
    pub(super) fn special_at(&self, text: &str) -> Option<(u32, usize)> {
        if !text.starts_with('<') {
            return None;
        }
        let found = self.special.iter().find(|&&id| text.starts_with(&self.tokens[id as usize]))?;
        Some((*found, self.tokens[*found as usize].len()))
    }

    /// The id of a k-mer over `ATCG` by its number, see [`digit`].
    pub(super) fn kmer(&self, index: usize) -> u32 {
        self.kmers[index]
    }

    /// The first piece of a text that is not empty: its id, if it has one, and its length.
    pub(super) fn next(&self, text: &str) -> (Option<u32>, usize) {
        if let Some(index) = text.as_bytes().get(..self.k).and_then(kmer_index) {
            return (Some(self.kmers[index]), self.k);
        }
        if let Some((id, length)) = self.special_at(text) {
            return (Some(id), length);
        }
        let letters = text.bytes().take(self.k).take_while(u8::is_ascii_uppercase).count();
        let length = if letters > 0 { letters } else { text.chars().next().map_or(0, char::len_utf8) };
        (self.id(&text[..length]), length)
    }
}

/// The k of a vocabulary that holds all k-mers of one k and, beside them, tokens in square brackets alone.
pub(super) fn k_of_bert(vocabulary: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(vocabulary).ok()?;
    let mut words = text.lines().filter(|line| !(line.starts_with('[') && line.ends_with(']')));
    let k = words.next()?.len();
    let others = words
        .by_ref()
        .take(LARGEST)
        .filter(|word| word.len() == k && kmer_index(word.as_bytes()).is_some())
        .count();
    // Whether all of them are there is seen when they are read.
    let all = 1_usize.checked_shl(2 * k as u32)?;
    (k <= 8 && others + 1 == all && text.contains("[CLS]") && text.contains("[SEP]")).then_some(k as u64)
}

fn parse_bare(line: &str, index: usize) -> Result<(&str, u32), Fault> {
    if line.is_empty() || line.contains(char::is_whitespace) {
        return Err(Fault::Line { line: index + 1, expected: "a token" });
    }
    Ok((line, index as u32))
}

fn parse_numbered(line: &str, index: usize) -> Result<(&str, u32), Fault> {
    let fault = Fault::Line { line: index + 1, expected: "a token and its id" };
    let Some((token, id)) = line.split_once(' ') else { return Err(fault) };
    if token.is_empty() || token.contains(char::is_whitespace) {
        return Err(fault);
    }
    Ok((token, id.parse().map_err(|_| fault)?))
}

/// Two bits a letter, in the order of the published vocabularies.
fn kmer_index(kmer: &[u8]) -> Option<usize> {
    kmer.iter().try_fold(0, |index, letter| Some(index << 2 | digit(*letter)?))
}

pub(super) fn digit(letter: u8) -> Option<usize> {
    match letter {
        b'A' => Some(0),
        b'T' => Some(1),
        b'C' => Some(2),
        b'G' => Some(3),
        _ => None,
    }
}

/// Refuses a vocabulary in which some k-mer is missing: plain DNA would turn into unknown tokens without a word.
fn kmer_table(tokens: &[String], k: usize) -> Result<Vec<u32>, Fault> {
    let expected = 1_usize << (2 * k);
    let mut table = vec![u32::MAX; expected];
    let mut found = 0;
    for (id, token) in tokens.iter().enumerate().filter(|(_, token)| token.len() == k) {
        if let Some(index) = kmer_index(token.as_bytes()) {
            table[index] = id as u32;
            found += 1;
        }
    }
    if found == expected { Ok(table) } else { Err(Fault::Incomplete { k, found, expected }) }
}
