//! Scores of a tiny decoder: every way to compute one must give the same number.
#![cfg(feature = "cpu")]

use burn::tensor::Device;
use kilobase_data::tokenize::{self, Tokenizer};
use kilobase_models::cache::policy::{self, Settings};
use kilobase_models::cache::{Pipeline, Store};
use kilobase_models::checkpoint::Checkpoint;
use kilobase_models::family::Model;
use kilobase_models::family::generator::Generator;
use kilobase_models::nn::Precision;
use kilobase_models::run::score::Scorer;
use kilobase_models::run::variants::Edit;
use kilobase_models::run::{Error, Long, Reading};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use std::path::Path;

struct Fixture {
    model: Model,
    tokenizer: Box<dyn Tokenizer>,
}

impl Fixture {
    fn open() -> Self {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/generator-tiny");
        let checkpoint = Checkpoint::open(&directory).expect("a checkpoint");
        Self {
            model: Model::load(checkpoint, &Device::flex(), Precision::F32).expect("a model"),
            tokenizer: tokenize::from_dir(&directory).expect("a tokenizer"),
        }
    }

    fn network(&self) -> &Generator {
        let Model::Generator { model, .. } = &self.model else { panic!("a decoder") };
        model
    }

    fn scorer(&self, context: usize, long: Long, chunk: usize) -> Scorer<'_> {
        let (model, tokenizer) = (self.network(), &*self.tokenizer);
        Scorer { model, tokenizer, reading: Reading { context, long, store: Store::F32, chunk } }
    }

    fn whole(&self) -> Scorer<'_> {
        self.scorer(10_000, Long::Cache(Pipeline::none()), 64)
    }
}

fn dna(length: usize, seed: u64) -> Vec<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..length).map(|_| b"ACGT"[rng.random_range(0..4)]).collect()
}

fn close(a: f64, b: f64, what: &str) {
    assert!((a - b).abs() < 2e-4 * (1.0 + b.abs().sqrt()), "{what}: {a} and {b}");
}

#[test]
fn a_sequence_has_one_score_however_it_is_cut_and_packed() {
    let fixture = Fixture::open();
    let sequences: Vec<Vec<u8>> = [1, 5, 6, 7, 100, 333, 600].iter().map(|&n| dna(n, n as u64)).collect();
    let texts: Vec<&[u8]> = sequences.iter().map(Vec::as_slice).collect();
    let alone: Vec<f64> =
        texts.iter().map(|text| fixture.whole().score(&[text]).expect("a score")[0].log_likelihood).collect();
    for chunk in [2, 17, 1000] {
        let scorer = fixture.scorer(10_000, Long::Windows { overlap: 0 }, chunk);
        for (score, alone) in scorer.score(&texts).expect("scores").iter().zip(&alone) {
            close(score.log_likelihood, *alone, &format!("chunks of {chunk}"));
            close(score.track.iter().sum(), score.log_likelihood, "the track");
        }
    }
}

#[test]
fn a_tail_is_scored_by_its_completions() {
    let fixture = Fixture::open();
    let text = dna(16, 3);
    // P(tail) is the sum over the four letters that may follow, twice.
    let mut sum = 0.0;
    for x in *b"ACGT" {
        for y in *b"ACGT" {
            let longer = [&text[..], &[x, y]].concat();
            sum += fixture.whole().score(&[&longer]).expect("a score")[0].log_likelihood.exp();
        }
    }
    let scored = fixture.whole().score(&[&text]).expect("a score").remove(0);
    close(scored.log_likelihood, sum.ln(), "the tail");
    assert_eq!((scored.bases, scored.tokens), (16, 3));
}

#[test]
fn letters_that_stand_for_several_bases_are_scored_by_all_of_them() {
    let fixture = Fixture::open();
    let score = |text: &[u8]| fixture.whole().score(&[text]).expect("a score").remove(0);
    let (n, r) = (score(b"ACGTACGTNCGT"), score(b"ACGTACGTRCGT"));
    let sum = |letters: &[u8]| {
        let of = |&x: &u8| score(&[b"ACGTACGT", &[x][..], b"CGT"].concat()).log_likelihood.exp();
        letters.iter().map(of).sum::<f64>().ln()
    };
    close(n.log_likelihood, sum(b"ACGT"), "N");
    close(r.log_likelihood, sum(b"AG"), "R");
    assert_eq!(n.bases, 11);
    assert!(n.track[8].is_nan() && n.track[7].is_finite());
    assert!(matches!(fixture.whole().score(&[b"ACG-TTTTT"]), Err(Error::Unknown { at: 3, .. })));
}

#[test]
fn windows_are_sequences_of_their_own_that_score_what_is_new() {
    let fixture = Fixture::open();
    let text = dna(6 * 40, 5);
    let (context, overlap) = (16, 5);
    let scorer = fixture.scorer(context, Long::Windows { overlap }, 7);
    let scored = scorer.score(&[&text]).expect("a score").remove(0);
    let (mut sum, mut done) = (0.0, 0);
    while done < 40 {
        let first = if done == 0 { 0 } else { done - overlap };
        let end = (first + context - 1).min(40);
        let alone = fixture.whole().score(&[&text[6 * first..6 * end]]).expect("a score").remove(0);
        sum += alone.track[6 * (done - first)..].iter().sum::<f64>();
        done = end;
    }
    close(scored.log_likelihood, sum, "windows");
    let stuck = fixture.scorer(6, Long::Windows { overlap: 5 }, 7);
    assert!(matches!(stuck.score(&[&text]), Err(Error::Context { context: 6, overlap: 5 })));
}

#[test]
fn a_policy_with_room_for_everything_changes_nothing_and_one_without_does() {
    let fixture = Fixture::open();
    let text = dna(6 * 100, 8);
    let exact = fixture.whole().score(&[&text]).expect("a score")[0].log_likelihood;
    let run = |budget: usize| {
        let settings = Settings { layers: 3, budget, seed: 1 };
        let policy = Pipeline::new(vec![policy::by_name("h2o", &settings).expect("h2o")]).expect("one stage");
        let scorer = fixture.scorer(20, Long::Cache(policy), 16);
        scorer.score(&[&text]).expect("a score")[0].log_likelihood
    };
    close(run(200), exact, "room for all");
    assert!((run(16) - exact).abs() > 1e-2, "sixteen of a hundred tokens");
}

#[test]
fn ratios_are_differences_of_whole_scores() {
    let fixture = Fixture::open();
    let mut text = dna(400, 11);
    text[200] = b'N';
    let edit = |at: usize, length: usize, alternate: &[u8], right: usize| Edit {
        at,
        length,
        alternate: alternate.to_vec(),
        right,
    };
    let other = |at: usize| if text[at] == b'A' { b"G" } else { b"A" };
    let edits = [
        edit(0, 1, other(0), 1000),
        edit(3, 1, other(3), 50),
        edit(120, 1, other(120), 0),
        edit(120, 1, b"C", 77),
        edit(121, 2, b"", 60),
        edit(150, 1, b"ACGTACGTACG", 31),
        edit(196, 1, other(196), 40),
        edit(397, 3, b"TT", 5),
        edit(394, 6, b"", 5),
        edit(399, 1, other(399), 5),
    ];
    for chunk in [13, 1000] {
        let scorer = fixture.scorer(10_000, Long::Cache(Pipeline::none()), chunk);
        let ratios = scorer.ratios(&text, &edits).expect("ratios");
        for (edit, ratio) in edits.iter().zip(ratios) {
            let after = edit.at + edit.length;
            let end = (after + edit.right).min(text.len());
            let changed = [&text[..edit.at], &edit.alternate, &text[after..end]].concat();
            let scores = fixture.whole().score(&[&changed, &text[..end]]).expect("scores");
            let expected = scores[0].log_likelihood - scores[1].log_likelihood;
            close(ratio.log_ratio, expected, &format!("{edit:?} in chunks of {chunk}"));
            assert!(ratio.shared <= edit.at / 6 + 2, "what is shared lies before the change: {ratio:?}");
        }
    }
    let short = fixture.scorer(30, Long::Cache(Pipeline::none()), 16);
    assert!(matches!(short.ratios(&text, &edits), Err(Error::TooLong { tokens: 68, context: 30 })));
}
