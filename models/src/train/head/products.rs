//! Products of blocks of states with the output matrix, and those of their gradients.

use super::Matrix;
use crate::family::values;
use crate::nn::{Precision, on_processor};
use burn::tensor::{Tensor, TensorData};
use kilobase_kernels::matmul::{Factor, Rows, add_transposed_times};
use std::ops::Range;

/// The products of one set of states, on the processor by its kernels, elsewhere as the device computes them.
pub(super) struct Products<'a> {
    place: Place<'a>,
    hidden: usize,
    vocabulary: usize,
    /// `[rows, hidden]`
    d_states: Vec<f32>,
    /// `[vocabulary, hidden]`
    d_weight: Vec<f32>,
}

#[allow(clippy::large_enum_variant, reason = "there is one")]
enum Place<'a> {
    Processor {
        states: Vec<f32>,
        /// `[hidden, vocabulary]`
        weight: Factor<'a>,
        /// `[vocabulary, hidden]`, where gradients are asked for.
        turned: Option<Factor<'a>>,
        precision: Precision,
    },
    Device {
        states: Tensor<2>,
        weight: Tensor<2>,
    },
}

impl<'a> Products<'a> {
    /// `numbers` are those of the matrix, where the processor computes (see [`numbers`]).
    pub(super) fn new(
        states: &Tensor<2>,
        matrix: &Matrix,
        numbers: Option<&'a [f32]>,
        gradients: bool,
    ) -> Self {
        let [vocabulary, hidden] = matrix.weight.dims();
        let place = if let Some(numbers) = numbers {
            let (rows, precision) = (Rows::new(numbers, hidden), matrix.precision);
            Place::Processor {
                states: values(states.clone()),
                weight: Factor::transposed(rows, precision),
                turned: gradients.then(|| Factor::new(rows, precision)),
                precision,
            }
        } else {
            Place::Device { states: states.clone(), weight: matrix.weight.clone() }
        };
        let d_weight = if gradients { vec![0.0; vocabulary * hidden] } else { Vec::new() };
        Self { place, hidden, vocabulary, d_states: Vec::new(), d_weight }
    }

    /// `[rows, vocabulary]`, without the bias.
    pub(super) fn logits(&self, rows: Range<usize>) -> Vec<f32> {
        match &self.place {
            Place::Processor { states, weight, .. } => weight.product(part(states, self.hidden, &rows), None),
            Place::Device { states, weight } => {
                let part = states.clone().narrow(0, rows.start, rows.len());
                values(part.matmul(weight.clone().transpose()))
            }
        }
    }

    /// Adds what follows from the gradients of the logits of the next rows.
    pub(super) fn add_gradients(&mut self, rows: Range<usize>, d_logits: Vec<f32>) {
        match &self.place {
            Place::Processor { states, turned, precision, .. } => {
                let d = Rows::new(&d_logits, self.vocabulary);
                let turned = turned.as_ref().expect("gradients were asked for");
                let part = part(states, self.hidden, &rows);
                self.d_states.extend(turned.product(d, None));
                add_transposed_times(d, part, *precision, &mut self.d_weight);
            }
            Place::Device { states, weight } => {
                let d = TensorData::new(d_logits, [rows.len(), self.vocabulary]);
                let d = Tensor::<2>::from_data(d, &states.device());
                let part = states.clone().narrow(0, rows.start, rows.len());
                self.d_states.extend(values(d.clone().matmul(weight.clone())));
                let d_weight = values(d.transpose().matmul(part));
                self.d_weight.iter_mut().zip(d_weight).for_each(|(sum, x)| *sum += x);
            }
        }
    }

    /// Of the states, `[rows, hidden]`, and of the matrix, `[vocabulary, hidden]`.
    pub(super) fn gradients(self) -> (Vec<f32>, Vec<f32>) {
        (self.d_states, self.d_weight)
    }
}

/// The numbers of a matrix on the processor; `None` elsewhere.
pub(super) fn numbers(matrix: &Matrix) -> Option<Vec<f32>> {
    on_processor(&matrix.weight.device()).then(|| values(matrix.weight.clone()))
}

fn part<'a>(states: &'a [f32], hidden: usize, rows: &Range<usize>) -> Rows<'a> {
    Rows::new(&states[rows.start * hidden..rows.end * hidden], hidden)
}
