//! Losses, gradients and a step of AdamW: through the layers by burn's autodiff, through attention by the kernel's own backward
//! pass, through the output matrix by hand.

use crate::parity::{Case, Fixture, Report, numbers, rows};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor};
use kilobase_models::checkpoint::Checkpoint;
use kilobase_models::family::Model;
use kilobase_models::family::dnabert2::DnaBert2;
use kilobase_models::run::loss::Counted;
use kilobase_models::train::adamw::Moments;
use kilobase_models::train::example::Example;
use kilobase_models::train::gradient::{Keep, accumulate};
use kilobase_models::train::head::Objective;
use kilobase_models::train::{AdamW, Parameters};

/// Largest difference, relative to the largest element of a gradient.
const RELATIVE: f64 = 1e-5;

/// Compares every gradient of the two losses that the fixture holds.
pub(crate) fn check(fixture: &Fixture, checkpoint: Checkpoint, report: &mut Report) {
    let model = Model::load(checkpoint, &Device::flex().autodiff(), kilobase_models::nn::Precision::F32)
        .expect("a model");
    let Model::DnaBert2 { model, .. } = &model else { panic!("an encoder") };
    let cases = &fixture.inputs["cases"];
    let mlm = fixture.inputs.get("mlm").unwrap_or(&cases["mlm"]);
    if mlm.is_object() {
        let case = Case::new(mlm);
        let labels = rows(&mlm["labels"]);
        let labels =
            labels.iter().enumerate().flat_map(|(s, row)| row.iter().enumerate().map(move |l| (s, l)));
        let (positions, labels): (Vec<usize>, Vec<i64>) = labels
            .filter(|(_, (_, label))| Counted::AboveZero.counts(**label))
            .map(|(s, (column, label))| (case.row(s, column).expect("a real token"), *label))
            .unzip();
        // By the code that trains, however much its backward pass keeps.
        let targets: Vec<u32> = labels.iter().map(|&label| label as u32).collect();
        let scale = 1.0 / targets.len() as f64;
        let example = Example { batch: case.batch.clone(), rows: positions, targets };
        // Chunks of 16 cut the longest sequence.
        for keep in [Keep::Layers, Keep::Chunks(16), Keep::Graph] {
            let mut gradients = Parameters::of(&**model).zeros();
            let loss = accumulate(&**model, &example, &Objective::Token, keep, scale, &mut gradients);
            report.loss("mlm/loss", loss.sum * scale, &fixture.expected("mlm/loss").expect("a loss").1);
            compare(fixture, "mlm", &gradients, report);
            step(model, &gradients, fixture, report);
        }
    }
    let classify = fixture.inputs.get("classify").unwrap_or(&cases["classify"]);
    if let Some(name) = classify["case"].as_str() {
        let case = Case::new(&cases[name]);
        let state = model.state(&case.batch, model.layers());
        if let Some(logits) = model.class_logits(&state, &case.batch) {
            let loss = cross_entropy(logits, &numbers(&classify["labels"]));
            compare(fixture, "classify", &by_name(model, &loss), report);
        }
    }
}

fn cross_entropy(logits: Tensor<2>, labels: &[i64]) -> Tensor<1> {
    let labels = Tensor::<1, Int>::from_ints(labels, &logits.device()).unsqueeze_dim::<2>(1);
    -log_softmax(logits, 1).gather(1, labels).mean()
}

fn compare(fixture: &Fixture, loss: &str, gradients: &Parameters, report: &mut Report) {
    for key in fixture.keys().into_iter().filter(|key| key.starts_with(&format!("{loss}/grad"))) {
        let (shape, theirs) = fixture.expected(&key).expect("a key");
        let (kind, name) = key[loss.len() + 1..].split_once('/').unwrap_or((&key[loss.len() + 1..], ""));
        if kind == "grad_norm_all" {
            report.loss(&key, gradients.norm(), &theirs);
            continue;
        }
        let ours = &gradients.get(name).unwrap_or_else(|| panic!("{key}: no such parameter")).values;
        // `grad_rowsA_B` holds some rows only.
        let first = kind.strip_prefix("grad_rows").map_or(0, |rows| {
            rows.split('_').next().and_then(|row| row.parse().ok()).expect("the number of the first row")
        });
        let width: usize = shape[1..].iter().product();
        assert!(kind != "grad" || ours.len() == theirs.len(), "{key}: another shape");
        let ours = &ours[first * width..][..theirs.len()];
        let largest = theirs.iter().fold(0.0_f64, |max, g| max.max(f64::from(g.abs())));
        for (i, (a, b)) in ours.iter().zip(&theirs).enumerate() {
            let error = f64::from(a - b).abs();
            assert!(error <= RELATIVE * largest, "{key}[{i}]: {a} instead of {b}, largest {largest}");
        }
        report.compared.push(key);
    }
}

/// The gradient of every parameter that a loss depends on, by the name that checkpoints give the parameter.
fn by_name(model: &DnaBert2, loss: &Tensor<1>) -> Parameters {
    let mut gradients = Parameters::of(model).zeros();
    gradients.add_gradients(model, &loss.backward());
    gradients
}

/// Weights after one step of AdamW.
fn step(model: &DnaBert2, gradients: &Parameters, fixture: &Fixture, report: &mut Report) {
    let mut weights = Parameters::of(model);
    let mut moments = Moments::new(&weights);
    let settings = AdamW { betas: [0.9, 0.999], epsilon: 1e-4, weight_decay: 0.01, decay_all: true };
    settings.step(1, 1e-3, &mut weights, gradients, 1.0, &mut moments);
    assert_eq!(Parameters::of(&weights.put(model.clone())), weights, "weights are put in their places");
    let prefix = "mlm/adamw_lr1e-3_eps1e-4_wd0.01/";
    for key in fixture.keys().into_iter().filter(|key| key.starts_with(prefix)) {
        let (_, theirs) = fixture.expected(&key).expect("a key");
        let ours = weights.get(&key[prefix.len()..]).unwrap_or_else(|| panic!("{key}: no such parameter"));
        report.close(&key, &ours.values, &theirs);
        report.compared.push(key);
    }
}
