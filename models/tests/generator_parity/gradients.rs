//! Gradients of the cross-entropy: through the layers by burn's autodiff, through attention by the kernel's own backward pass.

use crate::parity::{Case, Fixture, Report, rows};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Gradients, Int, Tensor, TensorData};
use kilobase_models::checkpoint::Checkpoint;
use kilobase_models::family::generator::{Config, Generator};
use kilobase_models::family::{Model, values};
use std::collections::BTreeMap;

/// Largest difference, relative to the largest element of a gradient.
const RELATIVE: f64 = 1e-5;

/// Compares the loss over next tokens and every gradient of it that the fixture holds.
pub(crate) fn check(fixture: &Fixture, checkpoint: Checkpoint, report: &mut Report) {
    let Some((_, loss)) = fixture.expected("train/ce_loss") else { return };
    let model = Model::load(checkpoint, &Device::flex().autodiff(), kilobase_models::nn::Precision::F32)
        .expect("a model");
    let Model::Generator { model, config } = &model else { panic!("a decoder") };
    let input = &fixture.inputs["cases"]["train"];
    let input = if input.is_object() { input } else { &fixture.inputs["train"] };
    let case = Case::new(input);
    let (mut at, mut labels) = (Vec::new(), Vec::new());
    for (s, row) in rows(&input["labels"]).iter().enumerate() {
        // The row before a label predicts it.
        for (column, &label) in row.iter().enumerate().skip(1).filter(|(_, label)| **label >= 0) {
            at.push(case.row(s, column - 1).expect("a real token") as i32);
            labels.push(label);
        }
    }
    let device = model.device();
    let count = at.len();
    let at = Tensor::<1, Int>::from_data(TensorData::new(at, [count]), &device);
    let states = model.state(&case.batch, model.layers()).select(0, at);
    let labels = Tensor::<1, Int>::from_ints(labels.as_slice(), &device).unsqueeze_dim::<2>(1);
    let logits = model.logits(states).expect("an output matrix");
    let ours = -log_softmax(logits, 1).gather(1, labels).mean();
    report.loss("train/ce_loss", f64::from(values(ours.clone())[0]), &loss);
    let gradients = by_name(model, config, &ours);
    for key in fixture.keys().into_iter().filter(|key| key.starts_with("train/ce_grad")) {
        let (shape, theirs) = fixture.expected(&key).expect("a key");
        if key == "train/ce_grad_norm_all" {
            let squares = gradients.values().flatten().map(|&g| f64::from(g).powi(2));
            report.loss(&key, squares.sum::<f64>().sqrt(), &theirs);
            continue;
        }
        let (kind, name) = key["train/".len()..].split_once('/').expect("a parameter");
        let ours = gradients.get(name).unwrap_or_else(|| panic!("{key}: no such parameter"));
        let first = kind.strip_prefix("ce_grad_rows").map_or(0, |rows| {
            rows.split('_').next().and_then(|row| row.parse().ok()).expect("the number of the first row")
        });
        assert!(kind != "ce_grad" || ours.len() == theirs.len(), "{key}: another shape");
        let width: usize = shape[1..].iter().product();
        let ours = &ours[first * width..][..theirs.len()];
        let largest = theirs.iter().fold(0.0_f64, |max, g| max.max(f64::from(g.abs())));
        for (i, (a, b)) in ours.iter().zip(&theirs).enumerate() {
            let error = f64::from(a - b).abs();
            assert!(error <= RELATIVE * largest, "{key}[{i}]: {a} instead of {b}, largest {largest}");
        }
        report.compared.push(key);
    }
}

/// The gradient of every parameter, by the name that checkpoints give it: what is stacked in ours is taken apart.
fn by_name(model: &Generator, config: &Config, loss: &Tensor<1>) -> BTreeMap<String, Vec<f32>> {
    let mut collector = Collector { path: Vec::new(), gradients: loss.backward(), found: BTreeMap::new() };
    model.visit(&mut collector);
    let mut named = BTreeMap::new();
    let (q, kv) = (config.num_attention_heads, config.num_key_value_heads);
    let (q, kv) = (q * config.head_dim * config.hidden_size, kv * config.head_dim * config.hidden_size);
    for (path, gradient) in collector.found {
        let path: Vec<&str> = path.split('.').collect();
        let mut add = |name: String, part: &[f32]| named.insert(name, part.to_vec());
        match path[..] {
            ["embed_tokens"] => add("model.embed_tokens.weight".into(), &gradient),
            ["norm", "gamma"] => add("model.norm.weight".into(), &gradient),
            ["lm_head", "weight"] => add("lm_head.weight".into(), &gradient),
            ["layers", n, ref part @ ..] => {
                let mut add =
                    |part: &str, values: &[f32]| add(format!("model.layers.{n}.{part}.weight"), values);
                match part {
                    ["qkv", "weight"] => {
                        add("self_attn.q_proj", &gradient[..q]);
                        add("self_attn.k_proj", &gradient[q..q + kv]);
                        add("self_attn.v_proj", &gradient[q + kv..])
                    }
                    ["mlp", "gated", "weight"] => {
                        let (gate, up) = gradient.split_at(gradient.len() / 2);
                        add("mlp.gate_proj", gate);
                        add("mlp.up_proj", up)
                    }
                    ["attention_norm", "gamma"] => add("input_layernorm", &gradient),
                    ["mlp_norm", "gamma"] => add("post_attention_layernorm", &gradient),
                    ["attention_out", "linear", "weight"] => add("self_attn.o_proj", &gradient),
                    ["mlp", "down", "linear", "weight"] => add("mlp.down_proj", &gradient),
                    other => panic!("a layer has no {other:?}"),
                }
            }
            ref other => panic!("unknown parameter {other:?}"),
        };
    }
    named
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
            self.found.insert(self.path.join("."), values(gradient));
        }
    }
}
