//! Losses, gradients and a step of AdamW, by the code that trains: through the layers by burn's autodiff, through attention by the
//! kernel's own backward pass, through the output matrix by hand.

use crate::parity::{Case, Fixture, Report};
use burn::module::Module;
use burn::tensor::Device;
use kilobase_data::tokenize::Tokenizer;
use kilobase_models::checkpoint::Checkpoint;
use kilobase_models::family::generator::Generator;
use kilobase_models::nn::Precision;
use kilobase_models::train::adamw::Moments;
use kilobase_models::train::example::Example;
use kilobase_models::train::gradient::{Keep, accumulate, evaluate};
use kilobase_models::train::head::Objective;
use kilobase_models::train::vocabulary::Bases;
use kilobase_models::train::{AdamW, Network, Parameters};
use std::sync::Arc;

/// Largest difference, relative to the largest element of a gradient.
const RELATIVE: f64 = 1e-5;

/// Compares the losses over next tokens, every gradient of them that the fixture holds, and the weights after a step.
pub(crate) fn check(
    fixture: &Fixture,
    checkpoint: Checkpoint,
    tokenizer: &dyn Tokenizer,
    report: &mut Report,
) {
    if fixture.expected("train/ce_loss").is_none() {
        return;
    }
    let network = Generator::open(checkpoint, &Device::flex().autodiff(), Precision::F32).expect("a decoder");
    let input = &fixture.inputs["cases"]["train"];
    let input = if input.is_object() { input } else { &fixture.inputs["train"] };
    let batch = Case::new(input).batch;
    let example = Example::causal(batch.clone(), |_| true);
    let gradients =
        gradients(&network, &example, &Objective::Token, ("train/ce_loss", "train/ce_grad"), fixture, report);
    step(&network, &gradients, fixture, report);
    let Some(bases) = Bases::new(tokenizer) else { panic!("a vocabulary of k-mers") };
    let bases = Arc::new(bases);
    let counted = Example::causal(batch.clone(), |id| bases.counts(id));
    let objective = Objective::PerBase(bases.clone());
    self::gradients(&network, &counted, &objective, ("train/fns_loss", "train/fns_grad"), fixture, report);
    // Without the tokens that are no k-mers.
    let only = Example::causal(batch, |id| tokenizer.token(id).is_some_and(|token| token.len() == bases.k()));
    let loss = evaluate(&network.valid(), &only, &objective).sum / only.targets.len() as f64;
    if let Some((_, theirs)) = fixture.expected("train/fns_loss_bases_only") {
        report.loss("train/fns_loss_bases_only", loss, &theirs);
    }
}

/// The gradients of the mean loss; the same however much the backward pass keeps.
fn gradients(
    network: &Generator,
    example: &Example,
    objective: &Objective,
    (loss_key, gradient_key): (&str, &str),
    fixture: &Fixture,
    report: &mut Report,
) -> Parameters {
    let scale = 1.0 / example.targets.len() as f64;
    let of = |keep: Keep| {
        let mut gradients = Parameters::of(network).zeros();
        let loss = accumulate(network, example, objective, keep, scale, &mut gradients);
        (loss.sum * scale, gradients)
    };
    let (loss, gradients) = of(Keep::Graph);
    if let Some((_, theirs)) = fixture.expected(loss_key) {
        report.loss(loss_key, loss, &theirs);
    }
    // Chunks of 4 cut every sequence of the fixture, of 20 hold two at once.
    for keep in [Keep::Layers, Keep::Chunks(4), Keep::Chunks(20)] {
        let (again, recomputed) = of(keep);
        assert!((loss - again).abs() < 1e-6, "{keep:?}: {loss} and {again}");
        for (name, named) in gradients.iter() {
            let what = format!("{name}, keeping {keep:?}");
            close(&what, &recomputed.get(name).expect("a gradient").values, &named.values, 2e-6);
        }
    }
    for key in fixture.keys().into_iter().filter(|key| key.starts_with(gradient_key)) {
        let (shape, theirs) = fixture.expected(&key).expect("a key");
        if key.ends_with("_norm_all") {
            report.loss(&key, gradients.norm(), &theirs);
            continue;
        }
        let (kind, name) = key["train/".len()..].split_once('/').expect("a parameter");
        let ours = &gradients.get(name).unwrap_or_else(|| panic!("{key}: no such parameter")).values;
        let first = kind.split_once("_rows").map_or(0, |(_, rows)| {
            rows.split('_').next().and_then(|row| row.parse().ok()).expect("the number of the first row")
        });
        assert!(kind.contains("_rows") || ours.len() == theirs.len(), "{key}: another shape");
        let width: usize = shape[1..].iter().product();
        close(&key, &ours[first * width..][..theirs.len()], &theirs, RELATIVE);
        report.compared.push(key);
    }
    gradients
}

/// Weights after one step.
fn step(network: &Generator, gradients: &Parameters, fixture: &Fixture, report: &mut Report) {
    let mut weights = Parameters::of(network);
    let mut moments = Moments::new(&weights);
    let settings = AdamW { betas: [0.9, 0.999], epsilon: 1e-4, weight_decay: 0.01, decay_all: true };
    settings.step(1, 1e-3, &mut weights, gradients, 1.0, &mut moments);
    // They are in the module as well.
    let written = Parameters::of(&weights.put(network.clone()));
    assert_eq!(written, weights, "weights are put in their places");
    let prefix = "train/adamw_lr1e-3_eps1e-4_wd0.01/";
    for key in fixture.keys().into_iter().filter(|key| key.starts_with(prefix)) {
        let (_, theirs) = fixture.expected(&key).expect("a key");
        let ours =
            &weights.get(&key[prefix.len()..]).unwrap_or_else(|| panic!("{key}: no such parameter")).values;
        report.close(&key, ours, &theirs);
        report.compared.push(key);
    }
}

fn close(what: &str, ours: &[f32], theirs: &[f32], relative: f64) {
    let largest = theirs.iter().fold(0.0_f64, |max, g| max.max(f64::from(g.abs())));
    for (i, (a, b)) in ours.iter().zip(theirs).enumerate() {
        let error = f64::from(a - b).abs();
        assert!(error <= relative * largest, "{what}[{i}]: {a} instead of {b}, largest {largest}");
    }
}
