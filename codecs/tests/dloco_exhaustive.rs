//! Everything, for short words; samples of everything, for long ones.

use kilobase_codecs::dloco::{
    Candidate, Codebook, Decoded, Entry, Hamming, Mode, Params, Residue, Value, alphabet,
};
use proptest::prelude::*;

fn codes(run_limit: usize, length: usize) -> Vec<(String, Box<dyn Codebook>)> {
    let params = Params::new(run_limit, length).unwrap();
    let name = |kind| format!("{kind}, l = {run_limit}, m = {length}");
    let mut codes: Vec<(String, Box<dyn Codebook>)> = vec![
        (name("balanced"), Box::new(Residue::new(params))),
        (name("plain"), Box::new(Residue::new(params.mode(Mode::Plain)))),
    ];
    match Hamming::new(run_limit, length) {
        Ok(code) => codes.push((name("hamming"), Box::new(code))),
        Err(error) => assert_eq!(length, 3, "{error}"),
    }
    codes
}

fn all_words(length: usize) -> impl Iterator<Item = Vec<u8>> {
    (0..4_u32.pow(length as u32)).map(move |word| (0..length).map(|i| (word >> (2 * i) & 3) as u8).collect())
}

fn distance(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).filter(|(a, b)| a != b).count()
}

/// All words of the codebook, by encoding.
fn book(code: &dyn Codebook) -> Vec<(Vec<u8>, Entry)> {
    let mut book = Vec::new();
    for message in 0..1_u64 << code.payload_bits() {
        let message = Value::from(message);
        for complement in [false, true] {
            let word = code.encode(&message, complement);
            if book.iter().all(|(other, _)| *other != word) {
                book.push((word, Entry { message, complement }));
            }
        }
    }
    book
}

#[test]
fn every_single_substitution_is_corrected_and_nothing_else_is_taken_for_one() {
    for run_limit in 1..=3 {
        for length in 3..=6 {
            for (name, code) in codes(run_limit, length) {
                let book = book(&*code);
                for (word, entry) in &book {
                    assert_eq!(code.decode(word), Decoded::Clean(*entry), "{name}");
                    for position in 0..length {
                        for symbol in (0..4).filter(|&symbol| symbol != word[position]) {
                            let mut received = word.clone();
                            received[position] = symbol;
                            let expected =
                                Decoded::Corrected { entry: *entry, position, symbol: word[position] };
                            assert_eq!(code.decode(&received), expected, "{name} {word:?} {received:?}");
                        }
                    }
                }
            }
        }
    }
}

/// In the order of the interface: by distance, message, complement and letters.
fn sorted(mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    candidates
        .sort_by_key(|c| (c.distance, c.entry.message, c.entry.complement, alphabet::to_ascii(&c.word)));
    candidates
}

#[test]
fn lists_equal_brute_force_for_every_received_word() {
    for run_limit in 1..=3 {
        for length in 3..=6 {
            for (name, code) in codes(run_limit, length) {
                let book = book(&*code);
                for received in all_words(length) {
                    let near = book
                        .iter()
                        .map(|(word, entry)| (distance(word, &received), word, entry))
                        .filter(|(distance, _, _)| *distance <= 2)
                        .map(|(distance, word, entry)| Candidate {
                            distance,
                            entry: *entry,
                            word: word.clone(),
                        })
                        .collect();
                    assert_eq!(code.within_two(&received), sorted(near), "{name} {received:?}");
                }
            }
        }
    }
}

/// Words that `word` becomes when it loses one symbol.
fn shortened(word: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..word.len()).map(|place| [&word[..place], &word[place + 1..]].concat())
}

#[test]
fn deletions_and_insertions_equal_brute_force_for_every_received_word() {
    for run_limit in 1..=3 {
        for length in 3..=6 {
            for (name, code) in codes(run_limit, length) {
                let book = book(&*code);
                let candidate = |(word, entry): &(Vec<u8>, Entry)| Candidate {
                    distance: 1,
                    entry: *entry,
                    word: word.clone(),
                };
                for received in all_words(length - 1) {
                    let sent = book.iter().filter(|(word, _)| shortened(word).any(|short| short == received));
                    let expected = sorted(sent.map(candidate).collect());
                    assert_eq!(code.after_deletion(&received), expected, "{name} {received:?}");
                }
                for received in all_words(length + 1) {
                    let sent =
                        book.iter().filter(|(word, _)| shortened(&received).any(|short| short == *word));
                    let expected = sorted(sent.map(candidate).collect());
                    assert_eq!(code.after_insertion(&received), expected, "{name} {received:?}");
                }
            }
        }
    }
}

const LENGTHS: [usize; 6] = [32, 64, 80, 100, 150, 300];

fn message(bits: usize, seed: [u64; 10]) -> Value {
    let mut message = Value::ZERO;
    for (limb, word) in seed.into_iter().enumerate() {
        let count = bits.saturating_sub(64 * limb).min(64);
        if count > 0 {
            message.put_bits(64 * limb, word >> (64 - count));
        }
    }
    message
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn what_was_sent_is_always_found(
        run_limit in 1_usize..=3, length in 0_usize..6, hamming: bool, seed: [u64; 10], complement: bool,
        first in 0_usize..300, second in 0_usize..300, values in (1_u8..4, 1_u8..4), extra in 0_u8..4,
    ) {
        let length = LENGTHS[length];
        let code: Box<dyn Codebook> = if hamming && length <= 80 {
            Box::new(Hamming::new(run_limit, length).unwrap())
        } else {
            Box::new(Residue::new(Params::new(run_limit, length).unwrap()))
        };
        let entry = Entry { message: message(code.payload_bits(), seed), complement };
        let sent = code.encode(&entry.message, complement);
        let (first, second) = (first % length, second % length);

        let mut received = sent.clone();
        received[first] ^= values.0;
        prop_assert_eq!(code.correct(&received), Some((entry, first, sent[first])));
        received[second] ^= values.1;
        let list = code.within_two(&received);
        prop_assert!(list.iter().any(|candidate| candidate.word == sent));
        for candidate in &list {
            prop_assert_eq!(distance(&candidate.word, &received), candidate.distance);
            prop_assert_eq!(code.lookup(&candidate.word), Some(candidate.entry));
        }

        let mut short = sent.clone();
        short.remove(first);
        prop_assert!(code.after_deletion(&short).iter().any(|candidate| candidate.word == sent));
        let mut long = sent.clone();
        long.insert(first, extra);
        prop_assert!(code.after_insertion(&long).iter().any(|candidate| candidate.word == sent));
    }

    #[test]
    fn any_word_is_read_without_panic(
        run_limit in 1_usize..=3, hamming: bool, word in prop::collection::vec(0_u8..4, 0..70), runs: bool,
    ) {
        let code: Box<dyn Codebook> = if hamming {
            Box::new(Hamming::new(run_limit, 64).unwrap())
        } else {
            Box::new(Residue::new(Params::new(run_limit, 64).unwrap()))
        };
        // Words with long runs as well.
        let word: Vec<u8> = if runs { word.iter().map(|symbol| symbol / 3).collect() } else { word };
        code.decode(&word);
        code.after_deletion(&word);
        code.after_insertion(&word);
    }
}
