//! A loss and its gradients for one example.

mod chunks;

use super::example::Example;
use super::head::{Loss, Objective};
use super::{Network, Parameters, Targets};
use crate::family::values;
use burn::tensor::{Tensor, TensorData};
use kilobase_data::batch::PackedBatch;
use serde::{Deserialize, Serialize};

/// What a backward pass keeps of the forward pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// Everything: the fastest.
    #[default]
    Graph,
    /// The input of each layer; a layer is computed again when its gradients are (gradient checkpointing, Chen et al. 2016).
    /// A third more work, memory for one layer's graph.
    Layers,
    /// The input of each layer; a layer is computed again, and differentiated, for at most so many tokens at a time against the
    /// keys that they see (StreamBP). Exact, and the least memory: what a chunk needs does not grow with the sequence, but for its
    /// keys.
    Chunks(usize),
}

/// Adds to `gradients` those of `scale` times the summed loss of an example, and returns its losses. `network` is on a device
/// that records gradients.
pub fn accumulate<N: Network>(
    network: &N,
    example: &Example,
    objective: &Objective,
    keep: Keep,
    scale: f64,
    gradients: &mut Parameters,
) -> Loss {
    let words = network.words(example.batch.ids()).inner();
    let (loss, d_words) = match keep {
        Keep::Graph => graph(network, example, objective, scale, words, gradients),
        Keep::Layers => layers(network, example, objective, scale, words, gradients, None),
        Keep::Chunks(most) => layers(network, example, objective, scale, words, gradients, Some(most.max(1))),
    };
    scatter(&d_words, example.batch.ids(), N::WORDS, gradients);
    loss
}

/// The losses of an example without gradients. `network` is on any device.
pub fn evaluate<N: Network>(network: &N, example: &Example, objective: &Objective) -> Loss {
    let mut x = network.begin(network.words(example.batch.ids()), &example.batch);
    for n in 0..network.layers() {
        x = network.layer(n, x, &example.batch);
    }
    let states = network.end(x, &example.rows);
    let (_, matrix) = network.output().expect("an output matrix");
    objective.losses(&states, &matrix, &example.targets, None)
}

/// What the head answers to each sequence, row by row on the host. `network` is on any device.
///
/// # Panics
/// If the network has no head.
pub fn answers<N: Network>(network: &N, batch: &PackedBatch) -> Vec<f32> {
    values(answered(network, network.words(batch.ids()), batch))
}

/// The mean loss of what the head answers to sequences; its gradients are added. `network` is on a device that records them.
///
/// # Panics
/// If the network has no head for this task, or there is not one target a sequence.
pub fn supervised<N: Network>(
    network: &N,
    batch: &PackedBatch,
    targets: &Targets,
    gradients: &mut Parameters,
) -> f64 {
    assert_eq!(targets.len(), batch.len(), "one target a sequence");
    let leaf = Leaf::new(network.words(batch.ids()));
    let out = answered(network, leaf.0.clone(), batch);
    let [rows, width] = out.dims();
    let mut d = values(out.clone().inner());
    let scale = 1.0 / rows as f64;
    let row = |(n, row): (usize, &mut [f32])| targets.loss(n, row, Some(scale));
    let loss = d.chunks_exact_mut(width).enumerate().map(row).sum::<f64>() * scale;
    let d = Tensor::from_data(TensorData::new(d, [rows, width]), &out.device().inner());
    let d_words = leaf.backward(out, d, network, gradients);
    scatter(&d_words, batch.ids(), N::WORDS, gradients);
    loss
}

fn answered<N: Network>(network: &N, words: Tensor<2>, batch: &PackedBatch) -> Tensor<2> {
    let mut x = network.begin(words, batch);
    for n in 0..network.layers() {
        x = network.layer(n, x, batch);
    }
    network.classify(x, batch).expect("a head")
}

/// The head's losses; its own gradients are added, those of the states returned.
fn head<N: Network>(
    network: &N,
    states: &Tensor<2>,
    example: &Example,
    objective: &Objective,
    scale: f64,
    gradients: &mut Parameters,
) -> (Loss, Tensor<2>) {
    let (names, mut matrix) = network.output().expect("an output matrix");
    matrix.weight = matrix.weight.inner();
    matrix.bias = matrix.bias.map(Tensor::inner);
    let mut loss = objective.losses(states, &matrix, &example.targets, Some(scale));
    let own = loss.gradients.take().expect("asked for");
    gradients.add(names.weight, &own.weight);
    if let Some(name) = names.bias {
        gradients.add(name, &own.bias);
    }
    (loss, own.states)
}

fn graph<N: Network>(
    network: &N,
    example: &Example,
    objective: &Objective,
    scale: f64,
    words: Tensor<2>,
    gradients: &mut Parameters,
) -> (Loss, Tensor<2>) {
    let leaf = Leaf::new(words);
    let mut x = network.begin(leaf.0.clone(), &example.batch);
    for n in 0..network.layers() {
        x = network.layer(n, x, &example.batch);
    }
    let states = network.end(x, &example.rows);
    let (loss, d_states) = head(network, &states.clone().inner(), example, objective, scale, gradients);
    let d_words = leaf.backward(states, d_states, network, gradients);
    (loss, d_words)
}

fn layers<N: Network>(
    network: &N,
    example: &Example,
    objective: &Objective,
    scale: f64,
    words: Tensor<2>,
    gradients: &mut Parameters,
    chunk: Option<usize>,
) -> (Loss, Tensor<2>) {
    let batch = &example.batch;
    let plain = network.valid();
    let mut inputs = vec![plain.begin(words.clone(), batch)];
    for n in 0..network.layers() {
        let x = inputs[n].clone();
        inputs.push(match chunk {
            Some(most) => chunks::forward(&plain, n, &x, batch, most),
            None => plain.layer(n, x, batch),
        });
    }
    drop(plain);
    let leaf = Leaf::new(inputs.pop().expect("the last state"));
    let states = network.end(leaf.0.clone(), &example.rows);
    let (loss, d_states) = head(network, &states.clone().inner(), example, objective, scale, gradients);
    let mut d = leaf.backward(states, d_states, network, gradients);
    for (n, input) in inputs.into_iter().enumerate().rev() {
        d = if let Some(most) = chunk {
            chunks::backward(network, n, &input, &d, batch, most, gradients)
        } else {
            let leaf = Leaf::new(input);
            let out = network.layer(n, leaf.0.clone(), batch);
            leaf.backward(out, d, network, gradients)
        };
    }
    let leaf = Leaf::new(words);
    let out = network.begin(leaf.0.clone(), batch);
    let d_words = leaf.backward(out, d, network, gradients);
    (loss, d_words)
}

/// The input of a piece of the network that is differentiated apart from what is before it.
struct Leaf(Tensor<2>);

impl Leaf {
    fn new(x: Tensor<2>) -> Self {
        Self(x.inner().autodiff().require_grad())
    }

    /// Adds the gradients of the piece's parameters, given that of its result; returns that of the input.
    fn backward<N: Network>(
        self,
        out: Tensor<2>,
        d_out: Tensor<2>,
        network: &N,
        gradients: &mut Parameters,
    ) -> Tensor<2> {
        let found = (out * d_out.autodiff()).sum().backward();
        gradients.add_gradients(network, &found);
        self.0.grad(&found).expect("every stage depends on its input")
    }
}

/// Adds the gradient of each looked-up row to the row of the table.
fn scatter(d_rows: &Tensor<2>, ids: &[u32], name: &str, gradients: &mut Parameters) {
    let width = d_rows.dims()[1];
    let d_rows = values(d_rows.clone());
    let table = &mut gradients.get_mut(name).unwrap_or_else(|| panic!("no parameter {name}")).values;
    for (row, &id) in d_rows.chunks_exact(width).zip(ids) {
        let sum = &mut table[id as usize * width..][..width];
        sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
    }
}
