//! Gradients of the losses: through the layers by burn's autodiff, through attention by the kernel's own backward pass.

use crate::parity::{Case, Fixture, Report, numbers, rows};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Gradients, Int, Tensor};
use kilobase_models::checkpoint::Checkpoint;
use kilobase_models::family::dnabert2::DnaBert2;
use kilobase_models::family::{Model, values};
use kilobase_models::run::loss::Counted;
use std::collections::BTreeMap;

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
        let state = model.state(&case.batch, model.layers());
        let logits = model.mlm_logits(&state, &positions).expect("an MLM head");
        compare(fixture, "mlm", &by_name(model, &cross_entropy(logits, &labels)), report);
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

fn compare(fixture: &Fixture, loss: &str, gradients: &BTreeMap<String, Vec<f32>>, report: &mut Report) {
    for key in fixture.keys().into_iter().filter(|key| key.starts_with(&format!("{loss}/grad"))) {
        let (shape, theirs) = fixture.expected(&key).expect("a key");
        let (kind, name) = key[loss.len() + 1..].split_once('/').unwrap_or((&key[loss.len() + 1..], ""));
        if kind == "grad_norm_all" {
            let squares = gradients.values().flatten().map(|&g| f64::from(g).powi(2));
            report.loss(&key, squares.sum::<f64>().sqrt(), &theirs);
            continue;
        }
        let ours = gradients.get(name).unwrap_or_else(|| panic!("{key}: no such parameter"));
        // `grad_rowsA_B` holds some rows only.
        let first = kind.strip_prefix("grad_rows").map_or(0, |rows| {
            rows.split('_').next().and_then(|row| row.parse().ok()).expect("the number of the first row")
        });
        let width: usize = shape[1..].iter().product();
        let ours = &ours[first * width..][..theirs.len()];
        assert!(kind != "grad" || gradients[name].len() == theirs.len(), "{key}: another shape");
        let largest = theirs.iter().fold(0.0_f64, |max, g| max.max(f64::from(g.abs())));
        for (i, (a, b)) in ours.iter().zip(&theirs).enumerate() {
            let error = f64::from(a - b).abs();
            assert!(error <= RELATIVE * largest, "{key}[{i}]: {a} instead of {b}, largest {largest}");
        }
        report.compared.push(key);
    }
}

/// The gradient of every parameter that a loss depends on, by the name that checkpoints give the parameter.
fn by_name(model: &DnaBert2, loss: &Tensor<1>) -> BTreeMap<String, Vec<f32>> {
    let mut collector = Collector { path: Vec::new(), gradients: loss.backward(), found: BTreeMap::new() };
    model.visit(&mut collector);
    collector.found
}

struct Collector {
    path: Vec<String>,
    gradients: Gradients,
    found: BTreeMap<String, Vec<f32>>,
}

impl ModuleVisitor for Collector {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = param.val().grad(&self.gradients) {
            self.found.insert(published(&self.path), values(gradient));
        }
    }
}

/// The checkpoint's name of a parameter of our module.
fn published(path: &[String]) -> String {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let leaf = |leaf: &str| match leaf {
        "gamma" => "weight".to_owned(),
        "beta" => "bias".to_owned(),
        other => other.to_owned(),
    };
    match path[..] {
        [embedding @ ("word_embeddings" | "token_type_embeddings")] => {
            format!("bert.embeddings.{embedding}.weight")
        }
        ["norm", last] => format!("bert.embeddings.LayerNorm.{}", leaf(last)),
        ["layers", n, ref part @ .., last] => {
            let part = match part {
                ["wqkv"] => "attention.self.Wqkv",
                ["attention_out", "linear"] => "attention.output.dense",
                ["attention_out", "norm"] => "attention.output.LayerNorm",
                ["mlp", "gated"] => "mlp.gated_layers",
                ["mlp", "down", "linear"] => "mlp.wo",
                ["mlp", "down", "norm"] => "mlp.layernorm",
                other => panic!("a layer has no {other:?}"),
            };
            format!("bert.encoder.layer.{n}.{part}.{}", leaf(last))
        }
        ["mlm", "transform", last] => format!("cls.predictions.transform.dense.{last}"),
        ["mlm", "norm", last] => format!("cls.predictions.transform.LayerNorm.{}", leaf(last)),
        ["mlm", "decoder_bias"] => "cls.predictions.decoder.bias".into(),
        ["head", "pooler", last] => format!("bert.pooler.dense.{last}"),
        ["head", "classifier", last] => format!("classifier.{last}"),
        _ => panic!("unknown parameter {path:?}"),
    }
}
