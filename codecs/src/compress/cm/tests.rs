use super::*;
use crate::compress::model_file::Error as FileError;

/// Sequences of two classes that prefer other codons: a linear congruence decides, so that the test is the same everywhere.
fn examples() -> Vec<(Vec<u8>, usize)> {
    let words: [[&[u8]; 4]; 2] = [[b"ATG", b"GCC", b"GAG", b"CTG"], [b"ATA", b"GCA", b"GAA", b"TTA"]];
    let mut state = 7_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    (0..40)
        .map(|at| {
            let class = at % 2;
            let other = |n: usize| if n.is_multiple_of(7) { 1 - class } else { class };
            let sequence = (0..100).flat_map(|_| words[other(next())][next() % 4].to_vec()).collect();
            (sequence, class)
        })
        .collect()
}

fn train(rows: &[(Vec<u8>, usize)]) -> Model {
    let examples: Vec<Example> =
        rows.iter().map(|(sequence, class)| Example { sequence, class: *class }).collect();
    Trainer::new(vec!["one".into(), "two".into()]).train(&examples).unwrap()
}

fn bytes(model: &Model) -> Vec<u8> {
    let mut out = Vec::new();
    model.write(&mut out).unwrap();
    out
}

#[test]
fn classes_are_told_apart_and_confidence_is_a_probability() {
    let rows = examples();
    let model = train(&rows[..30]);
    assert!(model.settings().contexts.contains(&Context::Amino(1)), "the sequences read as genes");
    for (sequence, class) in &rows[30..] {
        let score = model.score(sequence);
        let decision = score.decide(model.temperature());
        assert_eq!(decision.class, *class);
        assert!((0.5..=1.0).contains(&decision.confidence));
        let track = model.profile(sequence);
        assert_eq!(track.len(), 2 * sequence.len());
        let sum: f64 = track.iter().step_by(2).map(|&bits| f64::from(bits)).sum();
        assert!((sum - score.bits[0]).abs() < 1e-6);
    }
}

#[test]
fn ambiguous_letters_cost_two_bits_and_say_nothing() {
    let model = train(&examples());
    let score = model.score(&[b'N'; 50]);
    assert_eq!(score.bits, [100.0, 100.0]);
    let decision = score.decide(model.temperature());
    assert!(decision.is_tie);
    assert!((decision.confidence - 0.5).abs() < 1e-12);
    assert_eq!(model.score(b"").per_letter(), [0.0, 0.0]);
}

#[test]
fn file_is_read_back_and_damage_is_found() {
    let model = train(&examples());
    let file = bytes(&model);
    let again = Model::read(&mut &file[..]).unwrap();
    assert_eq!(bytes(&again), file);
    let sequence = &examples()[3].0;
    assert_eq!(again.score(sequence), model.score(sequence));
    for at in [0, 9, 13, 30, file.len() / 2, file.len() - 1] {
        let mut damaged = file.clone();
        damaged[at] ^= 16;
        assert!(Model::read(&mut &damaged[..]).is_err(), "byte {at}");
    }
    assert!(matches!(Model::read(&mut &file[..20]), Err(Error::File(FileError::Magic))));
    let mut newer = file.clone();
    newer[8] = 3;
    assert!(matches!(
        Model::read(&mut &newer[..]),
        Err(Error::File(FileError::Version { version: 3, known: 2 }))
    ));
}

#[test]
fn merging_and_updating_give_the_counts_of_training_at_once() {
    let rows = examples();
    let whole = train(&rows);
    let mut merged = train(&rows[..20]);
    merged.merge(&train(&rows[20..])).unwrap();
    let mut updated = train(&rows[..20]);
    let examples: Vec<Example> =
        rows[20..].iter().map(|(sequence, class)| Example { sequence, class: *class }).collect();
    updated.update(&["one".into(), "two".into()], &examples).unwrap();
    for mut model in [merged, updated] {
        assert_eq!(model.classes(), whole.classes());
        model.temperature = whole.temperature;
        assert_eq!(bytes(&model), bytes(&whole));
    }
}

#[test]
fn settings_are_tried_on_sequences_that_were_held_out() {
    let rows = examples();
    let examples: Vec<Example> =
        rows.iter().map(|(sequence, class)| Example { sequence, class: *class }).collect();
    let folds: Vec<usize> = (0..rows.len()).map(|at| at / 2 % 4).collect();
    let trainer = Trainer::new(vec!["one".into(), "two".into()]);
    let trials = trainer.trials(&examples, &folds).unwrap();
    assert_eq!(trials.len(), 15, "five sets of contexts and three decays");
    let best = Trial::best(&trials).unwrap();
    assert!(trials.iter().all(|trial| trial.surprise >= best.surprise && trial.accuracy <= 1.0));
    // One of them by hand.
    let tried = &trials[4];
    let right = (0..4).map(|fold| {
        let of = |held: bool| -> Vec<Example> {
            let mine = examples.iter().zip(&folds).filter(|&(_, &of)| (of == fold) == held);
            mine.map(|(example, _)| *example).collect()
        };
        let model = trainer.clone().settings(tried.settings.clone()).train(&of(false)).unwrap();
        let right = |example: &&Example| model.score(example.sequence).decide(1.0).class == example.class;
        of(true).iter().filter(right).count()
    });
    assert_eq!(tried.accuracy, right.sum::<usize>() as f64 / 40.0);
    assert_eq!(tried.settings.decay, 0.8);
    let model = trainer.settings(best.settings.clone()).train(&examples).unwrap();
    assert_eq!(model.settings(), &best.settings);
}

#[test]
fn models_of_other_letters_are_not_joined() {
    let rows = examples();
    let mut model = train(&rows);
    let mut other = train(&rows);
    other.letters.ambiguous = crate::compress::letters::Ambiguous::Skip;
    assert!(matches!(model.merge(&other), Err(Error::Letters { .. })));
    let file = bytes(&other);
    assert_eq!(Model::read(&mut &file[..]).unwrap().letters(), other.letters);
}

#[test]
fn classes_can_be_added_beyond_one_step() {
    let mut model = train(&examples());
    let before = model.score(&examples()[0].0);
    let names: Vec<String> = (0..9).map(|at| format!("new {at}")).collect();
    let sequence = b"ATGACGTTGACCAGTTAACG".repeat(4);
    let new: Vec<Example> = (0..9).map(|class| Example { sequence: &sequence, class }).collect();
    model.update(&names, &new).unwrap();
    assert_eq!(model.classes().len(), 11);
    let after = model.score(&examples()[0].0);
    assert_eq!(after.bits[..2], before.bits[..], "the old classes know what they knew");
    let own = model.score(&sequence);
    assert!(own.bits[2] < own.bits[0]);
    assert_eq!(own.bits[2], own.bits[10], "the same counts in another step");
    let file = bytes(&model);
    assert_eq!(bytes(&Model::read(&mut &file[..]).unwrap()), file);
}

#[test]
fn classes_without_sequences_are_refused_by_name() {
    let sequence = b"ACGTACGT".to_vec();
    let trainer = Trainer::new(vec!["full".into(), "bare".into()]);
    let error = trainer.train(&[Example { sequence: &sequence, class: 0 }]).unwrap_err();
    assert!(matches!(&error, Error::EmptyClass { name } if name == "bare"), "{error}");
    assert!(matches!(Trainer::new(vec!["one".into()]).train(&[]), Err(Error::TooFewClasses { classes: 1 })));
}

mod damage {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_body_is_a_model_or_an_error(at in any::<prop::sample::Index>(), value in any::<u8>(), cut in any::<prop::sample::Index>()) {
            let mut body = Vec::new();
            train(&examples()[..6]).put(&mut body);
            let place = at.index(body.len().min(600));
            body[place] = value;
            body.truncate(body.len() - cut.index(body.len()) * usize::from(value.is_multiple_of(4)));
            check(&body);
        }
    }
}
