//! The output matrix, the loss over the vocabulary and its gradient, in blocks of rows.
//!
//! Written by hand rather than recorded: a recorded loss keeps several `[rows, vocabulary]` matrices, and those are most of
//! the memory of a small model with a large vocabulary.

mod products;

use super::vocabulary::Bases;
use crate::nn::Precision;
use burn::tensor::{Tensor, TensorData};
use kilobase_kernels::loss;
use products::Products;
use rayon::prelude::*;
use std::sync::Arc;

/// Rows whose logits exist at once.
const ROWS: usize = 512;

/// What a row of logits is asked.
#[derive(Clone, Debug)]
pub enum Objective {
    /// Cross-entropy of the next, or the hidden, token.
    Token,
    /// The factorised loss of a k-mer vocabulary: the mean over the bases of a token of the cross-entropy of each base under
    /// its marginal. Other tokens cost their cross-entropy divided by k.
    PerBase(Arc<Bases>),
}

/// An output matrix with its bias.
#[derive(Clone, Debug)]
pub struct Matrix {
    /// `[vocabulary, hidden]`
    pub weight: Tensor<2>,
    /// `[vocabulary]`
    pub bias: Option<Tensor<1>>,
    /// Of products on the processor.
    pub precision: Precision,
}

/// Losses and gradients of some rows.
#[derive(Clone, Debug)]
pub struct Loss {
    /// The sum over the rows of what the objective asks, in nats.
    pub sum: f64,
    /// The sum over the rows of the cross-entropy of the token, in nats: what bits per base are counted from.
    pub cross_entropy: f64,
    /// Gradients of `scale * sum`.
    pub gradients: Option<HeadGradients>,
}

/// Gradients of a loss.
#[derive(Clone, Debug)]
pub struct HeadGradients {
    /// Of the states, `[rows, hidden]`.
    pub states: Tensor<2>,
    /// Of the matrix, `[vocabulary, hidden]`.
    pub weight: Vec<f32>,
    /// Of the bias, `[vocabulary]`.
    pub bias: Vec<f32>,
}

impl Objective {
    /// The losses of rows of states `[rows, hidden]` against one target each, and with a `scale` the gradients of `scale` times
    /// their sum. Tensors are of a device that records no gradients.
    ///
    /// # Panics
    /// If there is not one target a row, or one is not in the vocabulary.
    pub fn losses(&self, states: &Tensor<2>, matrix: &Matrix, targets: &[u32], scale: Option<f64>) -> Loss {
        let [rows, hidden] = states.dims();
        let vocabulary = matrix.weight.dims()[0];
        assert_eq!(rows, targets.len(), "one target a row");
        let device = states.device();
        let bias =
            matrix.bias.clone().map(|bias| bias.into_data().try_to_vec::<f32>().expect("biases are f32"));
        let numbers = products::numbers(matrix);
        let mut products = Products::new(states, matrix, numbers.as_deref(), scale.is_some());
        let mut total = Loss { sum: 0.0, cross_entropy: 0.0, gradients: None };
        let mut d_bias = vec![0.0_f64; if bias.is_some() { vocabulary } else { 0 }];
        for (block, targets) in targets.chunks(ROWS).enumerate() {
            let rows = block * ROWS..block * ROWS + targets.len();
            let mut logits = products.logits(rows.clone());
            // A row's numbers do not depend on the others', and the sums are taken in their order.
            let each: Vec<(f64, f64)> = logits
                .par_chunks_exact_mut(vocabulary)
                .zip(targets)
                .map(|(row, &target)| {
                    if let Some(bias) = &bias {
                        row.iter_mut().zip(bias).for_each(|(x, bias)| *x += bias);
                    }
                    self.row(row, target, scale)
                })
                .collect();
            for (own, cross_entropy) in each {
                total.sum += own;
                total.cross_entropy += cross_entropy;
            }
            if scale.is_some() {
                if bias.is_some() {
                    for row in logits.chunks_exact(vocabulary) {
                        d_bias.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
                    }
                }
                products.add_gradients(rows, logits);
            }
        }
        total.gradients = scale.map(|_| {
            let (states, weight) = products.gradients();
            HeadGradients {
                states: Tensor::from_data(TensorData::new(states, [rows, hidden]), &device),
                weight,
                bias: d_bias.into_iter().map(|x| x as f32).collect(),
            }
        });
        total
    }

    /// The row's loss and cross-entropy; with a scale, its logits become their gradient.
    fn row(&self, logits: &mut [f32], target: u32, scale: Option<f64>) -> (f64, f64) {
        match self {
            Self::Token => {
                let loss = loss::cross_entropy(logits, target as usize, scale);
                (loss, loss)
            }
            Self::PerBase(bases) => {
                loss::factorised(bases.codes(), bases.k(), logits, target as usize, scale)
            }
        }
    }
}
