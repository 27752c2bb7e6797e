use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::tokenize::VocabularyFault as Fault;

/// Tokens and ids of a `vocab.txt`.
#[derive(Debug)]
pub(super) struct Vocabulary {
    k: usize,
    tokens: Vec<String>,
    ids: HashMap<String, u32>,
    /// Ids of k-mers over `ACGT` by their number, see [`digit`]: the way that nearly all text takes.
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

    /// The id of a k-mer over `ACGT` by its number, see [`digit`].
    pub(super) fn kmer(&self, index: usize) -> u32 {
        self.kmers[index]
    }

    /// The ids of the eight k-mers over `ACGT` that a text starts with, where more text follows.
    #[inline(always)]
    pub(super) fn eight_kmers(&self, text: &[u8]) -> Option<[u32; 8]> {
        let text = text.get(..7 * self.k + 8)?;
        let (mut numbers, mut odd) = ([0; 8], 0);
        for (at, number) in numbers.iter_mut().enumerate() {
            let word = text[at * self.k..].first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
            let digits = digits(word);
            odd |= word ^ letters(digits);
            *number = packed(digits);
        }
        let beyond = 64 - 8 * self.k;
        (odd << beyond == 0).then(|| numbers.map(|number| self.kmers[number & (self.kmers.len() - 1)]))
    }

    /// The first piece of a text that is not empty: its id, if it has one, and its length.
    pub(super) fn next(&self, text: &str) -> (Option<u32>, usize) {
        if let Some(number) = text.as_bytes().get(..self.k).and_then(kmer_index) {
            return (Some(self.kmers[number]), self.k);
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

/// The number of a k-mer: the [`digit`]s of its letters, the first in the lowest bits.
fn kmer_index(kmer: &[u8]) -> Option<usize> {
    kmer.iter().rev().try_fold(0, |index, letter| Some(index << 2 | digit(*letter)?))
}

/// Two bits for a letter: those of its code that tell the four apart.
pub(super) fn digit(letter: u8) -> Option<usize> {
    matches!(letter, b'A' | b'C' | b'G' | b'T').then_some(usize::from(letter >> 1 & 3))
}

const EACH: u64 = 0x0101_0101_0101_0101;

/// [`digit`] of eight letters at once, a byte each.
fn digits(letters: u64) -> u64 {
    letters >> 1 & (3 * EACH)
}

/// The letters that digits stand for, a byte each: no sum in here is larger than a byte.
fn letters(digits: u64) -> u64 {
    let (low, high) = (digits & EACH, digits >> 1 & EACH);
    u64::from(b'A') * EACH + 0x02 * low + 0x13 * high - 0x0f * (low & high)
}

/// The number of the 8-mer of these digits; its lower bits are that of a shorter one.
fn packed(digits: u64) -> usize {
    let pairs = (digits | digits >> 6) & 0x000f_000f_000f_000f;
    let fours = (pairs | pairs >> 12) & 0x0000_00ff_0000_00ff;
    ((fours | fours >> 24) & 0xffff) as usize
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_letters_at_once_are_as_one_after_the_other() {
        for odd in 0..=u8::MAX {
            for at in 0..8 {
                let mut word = *b"GATTACAC";
                word[at] = odd;
                let eight = u64::from_le_bytes(word);
                let number = (letters(digits(eight)) == eight).then(|| packed(digits(eight)));
                assert_eq!(number, kmer_index(&word), "{word:?}");
            }
        }
        for index in 0..4_usize.pow(8) {
            let word: [u8; 8] = std::array::from_fn(|at| b"ACTG"[index >> (2 * at) & 3]);
            assert_eq!((packed(digits(u64::from_le_bytes(word))), kmer_index(&word)), (index, Some(index)));
        }
    }
}
