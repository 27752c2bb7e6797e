//! Weights in bf16 against f32: the same states up to the rounding.
#![cfg(feature = "cpu")]

use burn::tensor::Device;
use kilobase_data::batch::PackedBatch;
use kilobase_models::checkpoint::Checkpoint;
use kilobase_models::family::Model;
use kilobase_models::nn::Precision;
use std::path::Path;

fn load(precision: Precision, device: &Device) -> Model {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/dnabert2-tiny");
    let scratch = tempfile::tempdir().expect("a temporary folder");
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(folder.join(name), scratch.path().join(name)).expect("copied");
    }
    let checkpoint = Checkpoint::open(scratch.path()).expect("a checkpoint");
    Model::load(checkpoint, device, precision).expect("a model")
}

#[test]
fn states_in_bf16_point_where_those_in_f32_do() {
    compare(&Device::flex());
}

/// Weights stay f32 there, and both sides of products are rounded.
#[test]
fn so_they_do_where_gradients_are_recorded() {
    compare(&Device::flex().autodiff());
}

fn compare(device: &Device) {
    let ids: Vec<u32> = (0..300_u32).map(|i| 5 + i * 40_503 % 4000).collect();
    let batch = PackedBatch::new(ids, None, vec![0, 7, 300]).expect("a batch");
    let (full, half) = (load(Precision::F32, device), load(Precision::Bf16, device));
    let width = full.hidden_size();
    for layer in 1..=full.layers() {
        let (a, b) = (full.state(&batch, layer), half.state(&batch, layer));
        assert_ne!(a, b, "bf16 rounds");
        for (token, (a, b)) in a.chunks_exact(width).zip(b.chunks_exact(width)).enumerate() {
            let dot = |x: &[f32], y: &[f32]| -> f64 {
                x.iter().zip(y).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum()
            };
            let cosine = dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
            // What the reference's fixtures ask of bf16.
            assert!(cosine >= 0.999, "layer {layer}, token {token}: cosine {cosine}");
        }
    }
}
