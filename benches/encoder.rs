//! A DNABERT-2-sized encoder of random weights on the CPU: `cargo bench --bench encoder`.
//!
//! Shapes are sequences x tokens; throughput is tokens a second. Seed 42.

use divan::Bencher;
use divan::counter::ItemsCount;
use kilobase::data::batch::PackedBatch;
use kilobase::models::checkpoint::{Checkpoint, Precision, write_safetensors};
use kilobase::models::device::DeviceRequest;
use kilobase::models::family::{Model, dnabert2};
use std::sync::LazyLock;

static MODEL: LazyLock<Model> = LazyLock::new(|| {
    let config = serde_json::json!({
        "alibi_starting_size": 512, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
        "intermediate_size": 3072, "vocab_size": 4096
    });
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sizes = dnabert2::Config::from_json(&config).expect("a configuration");
    std::fs::write(folder.path().join("config.json"), config.to_string()).expect("written");
    let weights = folder.path().join("model.safetensors");
    write_safetensors(&weights, dnabert2::random(&sizes, 42), Precision::F32).expect("written");
    let checkpoint = Checkpoint::open(folder.path()).expect("a checkpoint");
    Model::load(
        checkpoint,
        &DeviceRequest::Cpu.open().expect("the processor"),
        kilobase::models::nn::Precision::F32,
    )
    .expect("a model")
});

fn main() {
    divan::main();
}

#[divan::bench(args = [(32, 128), (8, 512), (1, 4096)], sample_count = 5, sample_size = 1)]
fn forward(bencher: Bencher<'_, '_>, (sequences, tokens): (usize, usize)) {
    let ids: Vec<u32> = (0..sequences * tokens).map(|i| 5 + (i * 2_654_435_761 % 4091) as u32).collect();
    let offsets = (0..=ids.len()).step_by(tokens).collect();
    let batch = PackedBatch::new(ids, None, offsets).expect("a batch");
    let layers = MODEL.layers();
    bencher.counter(ItemsCount::new(sequences * tokens)).bench(|| MODEL.state(&batch, layers));
}
