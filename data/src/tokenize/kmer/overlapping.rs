//! A token for each k letters of a text (Ji et al. 2021, DNABERT).

use super::KmerTokenizer;
use super::vocabulary::digit;
use crate::tokenize::Encoding;

impl KmerTokenizer {
    pub(super) fn encode_overlapping(&self, text: &str, add_special: bool) -> Encoding {
        let mut encoding = Encoding::default();
        if let Some(start) = self.start.filter(|_| add_special) {
            encoding.push_special(start, 0);
        }
        if text.is_ascii() {
            self.push_kmers(text.as_bytes(), &mut encoding);
        } else {
            self.push_windows(text, &mut encoding);
        }
        if let Some(end) = self.end.filter(|_| add_special) {
            encoding.push_special(end, text.len());
        }
        encoding
    }

    fn push_kmers(&self, text: &[u8], encoding: &mut Encoding) {
        let k = self.k();
        if (1..k).contains(&text.len()) {
            return encoding.push(self.unk, 0, text.len());
        }
        let (newest, mut index, mut known) = (2 * (k - 1), 0, 0);
        for (at, &letter) in text.iter().enumerate() {
            match digit(letter) {
                Some(digit) => (index, known) = (index >> 2 | digit << newest, known + 1),
                None => known = 0,
            }
            if let Some(start) = (at + 1).checked_sub(k) {
                let id = if known >= k { self.vocabulary.kmer(index) } else { self.unk };
                encoding.push(id, start, at + 1);
            }
        }
    }

    /// The same by characters, which may be of several bytes.
    fn push_windows(&self, text: &str, encoding: &mut Encoding) {
        let places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        let k = self.k().min(places.len() - 1);
        for window in places.windows(k + 1) {
            let (start, end) = (window[0], window[k]);
            encoding.push(self.vocabulary.id(&text[start..end]).unwrap_or(self.unk), start, end);
        }
    }
}

/// Letters of a k-mer that a text ends with already: all but the last, or none where another run begins.
pub(super) fn shared(text: &str, kmer: &str) -> usize {
    let shared = kmer.len() - 1;
    if digit(kmer.as_bytes()[0]).is_some() && text.ends_with(&kmer[..shared]) { shared } else { 0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::tokenize::{self, KmerConfig, KmerTokenizer, Layout, Tokenizer};

    /// As published for the first DNABERT: five marks, then k-mers in the order `ATCG`.
    fn vocabulary(k: u32) -> String {
        let mut tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(String::from).to_vec();
        for index in 0..4_usize.pow(k) {
            tokens.push((0..k).rev().map(|at| char::from(b"ATCG"[index >> (2 * at) & 3])).collect());
        }
        tokens.join("\n") + "\n"
    }

    fn tokenizer(k: u32) -> KmerTokenizer {
        KmerTokenizer::new(vocabulary(k).as_bytes(), &KmerConfig::overlapping(u64::from(k)), "vocab.txt")
            .unwrap()
    }

    #[test]
    fn each_base_but_the_last_few_begins_a_token() {
        let three = tokenizer(3);
        let encoding = three.encode(b"ATGNATC", true).unwrap();
        let tokens: Vec<&str> = encoding.ids.iter().map(|&id| three.token(id).unwrap()).collect();
        assert_eq!(tokens, ["[CLS]", "ATG", "[UNK]", "[UNK]", "[UNK]", "ATC", "[SEP]"]);
        let spans: Vec<_> = encoding.spans.iter().map(|span| (span.start, span.end)).collect();
        assert_eq!(spans, [(0, 0), (0, 3), (1, 4), (2, 5), (3, 6), (4, 7), (7, 7)]);
        // ids as in the published file: AAA is 5, AAT 6, AAC 7, AAG 8, ATA 9.
        assert_eq!(three.encode(b"AAATA", false).unwrap().ids, [5, 6, 9]);
        assert_eq!((three.layout(), three.name()), (Layout::Overlapping, "overlapping 3-mer"));
    }

    #[test]
    fn nothing_is_lost_without_a_word() {
        let six = tokenizer(6);
        let short = six.encode(b"ACGT", false).unwrap();
        assert_eq!((short.ids.as_slice(), short.spans[0].len()), (&[1][..], 4));
        assert!(six.encode(b"", false).unwrap().is_empty());
        assert_eq!(six.encode(b"", true).unwrap().ids, [2, 3]);
        let wide = six.encode("ACGTAC\u{e9}A".as_bytes(), false).unwrap();
        assert_eq!((wide.len(), wide.ids[1..].to_vec(), wide.spans[2].end), (3, vec![1, 1], 9));
    }

    #[test]
    fn the_folder_of_a_published_model_is_known() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("vocab.txt"), vocabulary(4)).unwrap();
        let config = folder.path().join("tokenizer_config.json");
        std::fs::write(&config, r#"{"do_lower_case": false, "max_len": 512}"#).unwrap();
        let tokenizer = tokenize::from_dir(folder.path()).unwrap();
        assert_eq!((tokenizer.name(), tokenizer.vocab_size()), ("overlapping 4-mer", 261));
        assert_eq!(tokenizer.special().mask, Some(4));
        std::fs::write(&config, r#"{"tokenizer_class": "EsmTokenizer"}"#).unwrap();
        assert!(tokenize::from_dir(folder.path()).is_err(), "k-mers of another kind");
        std::fs::write(&config, r#"{"k": 4, "stride": 2}"#).unwrap();
        let error = tokenize::from_dir(folder.path()).err().unwrap().to_string();
        assert!(error.contains("stride of 2") && error.contains("1 or 4"), "{error}");
    }

    proptest! {
        #[test]
        fn decoding_gives_the_bases_back(text in "[ACGT]{4,80}", odd in "[ACGTNacn\u{e9} -]{0,40}") {
            let four = tokenizer(4);
            let ids = four.encode(text.as_bytes(), true).unwrap().ids;
            prop_assert_eq!(four.decode(&ids).unwrap(), text);
            tokenize::check_kmer_vocabulary(vocabulary(2).as_bytes(), 2, odd.as_bytes());
        }
    }
}
