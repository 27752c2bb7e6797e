//! What a k-mer vocabulary says about bases, as the factorised loss reads it; and a k-mer tokenizer's files.

use kilobase_data::tokenize::Tokenizer;
use kilobase_kernels::loss::Code;
use serde_json::json;

/// The bases of each token of a vocabulary of k-mers. Their order is that of the published vocabularies, `ATCG`; the losses do
/// not depend on it.
#[derive(Clone, Debug)]
pub struct Bases {
    k: usize,
    /// Codes by id: two bits a base, the first the most significant.
    codes: Vec<Code>,
    unk: Option<u32>,
    pad: Option<u32>,
}

const LETTERS: [u8; 4] = *b"ATCG";

impl Bases {
    /// Reads a vocabulary; `None` where its tokens of bases are of several lengths or not complete.
    pub fn new(tokenizer: &dyn Tokenizer) -> Option<Self> {
        let mut k = None;
        let mut found = 0;
        let mut codes = Vec::with_capacity(tokenizer.vocab_size());
        for id in 0..tokenizer.vocab_size() as u32 {
            let code = tokenizer.token(id).and_then(|token| Some((token.len(), code(token.as_bytes())?)));
            codes.push(match code {
                Some((length, _)) if *k.get_or_insert(length) != length => return None,
                Some((_, code)) => {
                    found += 1;
                    Code::Kmer(code)
                }
                None => Code::Special,
            });
        }
        let k = k.filter(|&k| k <= 8 && found == 1_usize << (2 * k))?;
        let special = tokenizer.special();
        Some(Self { k, codes, unk: special.unk, pad: special.pad })
    }

    /// Bases of a token.
    pub fn k(&self) -> usize {
        self.k
    }

    #[cfg(test)]
    fn code(&self, id: u32) -> Code {
        self.codes[id as usize]
    }

    pub(super) fn codes(&self) -> &[Code] {
        &self.codes
    }

    /// Whether the factorised loss counts a target: the unknown token and padding it does not.
    pub fn counts(&self, id: u32) -> bool {
        Some(id) != self.unk && Some(id) != self.pad
    }
}

/// Two bits a base; `None` for anything else.
fn code(bases: &[u8]) -> Option<u32> {
    let digit = |base: &u8| LETTERS.iter().position(|letter| letter == base);
    let all = bases.iter().try_fold(0, |code, base| Some(4 * code + digit(base)? as u32));
    all.filter(|_| !bases.is_empty() && bases.len() <= 8)
}

/// The special tokens of GENERator's vocabulary, ids 0 to 31 (specs: models, section 4).
const SPECIAL: [&str; 32] = [
    "<oov>",
    "<s>",
    "</s>",
    "<pad>",
    "<mask>",
    "<bog>",
    "<eog>",
    "<bok>",
    "<eok>",
    "<+>",
    "<->",
    "<cds>",
    "<pseudo>",
    "<tRNA>",
    "<rRNA>",
    "<ncRNA>",
    "<miscRNA>",
    "<mam>",
    "<vrt>",
    "<inv>",
    "<pln>",
    "<fng>",
    "<prt>",
    "<arc>",
    "<bct>",
    "<mit>",
    "<plt>",
    "<plm>",
    "<vir>",
    "<sp0>",
    "<sp1>",
    "<sp2>",
];

/// The files of a k-mer tokenizer with GENERator's special tokens and order: name and content of each.
///
/// # Panics
/// If `k` is not between 1 and 8.
pub fn kmer_files(k: usize) -> [(&'static str, String); 2] {
    assert!((1..=8).contains(&k), "k-mers of {k} bases");
    let kmer = |code: usize| -> String {
        (0..k).map(|place| char::from(LETTERS[code >> (2 * (k - 1 - place)) & 3])).collect()
    };
    let tokens = SPECIAL.iter().map(|&token| token.to_owned()).chain((0..1 << (2 * k)).map(kmer));
    let lines: Vec<String> = tokens.enumerate().map(|(id, token)| format!("{token} {id}\n")).collect();
    let vocabulary = lines.concat();
    let config = json!({
        "add_bos_token": true, "add_eos_token": false, "k": k, "tokenizer_class": "DNAKmerTokenizer",
        "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<oov>",
    });
    [("vocab.txt", vocabulary), ("tokenizer_config.json", format!("{config:#}\n"))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use kilobase_data::tokenize::{KmerConfig, KmerTokenizer};
    use sha2::{Digest, Sha256};

    #[test]
    fn six_mers_are_the_published_vocabulary() {
        let [(_, vocabulary), _] = kmer_files(6);
        let hash = hex::encode(Sha256::digest(vocabulary.as_bytes()));
        assert!(hash.starts_with("068e0d76"), "{hash}");
    }

    #[test]
    fn tokenizers_of_every_k_are_read_again() {
        for k in 1..=6 {
            let [(_, vocabulary), (_, config)] = kmer_files(k);
            let config: KmerConfig = serde_json::from_str(&config).unwrap();
            let tokenizer = KmerTokenizer::new(vocabulary.as_bytes(), &config, "made").unwrap();
            let bases = Bases::new(&tokenizer).unwrap();
            assert_eq!((bases.k(), tokenizer.k(), tokenizer.vocab_size()), (k, k, 32 + (1 << (2 * k))));
            assert_eq!(bases.code(0), Code::Special);
            assert_eq!(bases.code(32), Code::Kmer(0));
        }
    }
}
