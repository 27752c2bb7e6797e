//! A layer in chunks of tokens (StreamBP): each against the keys that it sees, which are computed before and whose gradients are
//! added up over the chunks.

use super::Leaf;
use crate::attention::Packing;
use crate::family::values;
use crate::train::{Network, Parameters};
use burn::tensor::{Tensor, TensorData};
use kilobase_data::batch::PackedBatch;
use std::ops::Range;

/// Tokens that are computed together.
struct Chunk {
    rows: Range<usize>,
    at: Packing,
    /// The rows whose keys they see.
    keys: Range<usize>,
    keys_at: Packing,
}

/// Whole sequences together as long as they have at most `most` tokens; longer ones in parts.
fn chunks(batch: &PackedBatch, most: usize, sees_all: bool) -> Vec<Chunk> {
    let mut all = Vec::new();
    let spans: Vec<Range<usize>> = batch.spans().filter(|span| !span.is_empty()).collect();
    let mut rest = &spans[..];
    while let Some(first) = rest.first() {
        if first.len() > most {
            for start in first.clone().step_by(most) {
                let rows = start..(start + most).min(first.end);
                let keys = first.start..if sees_all { first.end } else { rows.end };
                let positions: Vec<u32> = rows.clone().map(|row| (row - first.start) as u32).collect();
                let at = Packing::from_offsets(&[0, rows.len()]).with_positions(&positions);
                let keys_at = Packing::from_offsets(&[0, keys.len()]);
                all.push(Chunk { rows, at, keys, keys_at });
            }
            rest = &rest[1..];
            continue;
        }
        let count = rest.iter().take_while(|span| span.end - first.start <= most).count();
        let offsets: Vec<usize> =
            std::iter::once(0).chain(rest[..count].iter().map(|span| span.end - first.start)).collect();
        let rows = first.start..rest[count - 1].end;
        let at = Packing::from_offsets(&offsets);
        all.push(Chunk { rows: rows.clone(), at: at.clone(), keys: rows, keys_at: at });
        rest = &rest[count..];
    }
    all
}

fn rows(x: &Tensor<2>, range: &Range<usize>) -> Tensor<2> {
    x.clone().narrow(0, range.start, range.len())
}

/// One layer without a graph; `network` records none.
pub(super) fn forward<N: Network>(
    network: &N,
    n: usize,
    x: &Tensor<2>,
    batch: &PackedBatch,
    most: usize,
) -> Tensor<2> {
    let keys = network.keys(n, x.clone());
    let part = |chunk: Chunk| {
        let seen = rows(&keys, &chunk.keys);
        network.layer_over(n, rows(x, &chunk.rows), &chunk.at, seen, &chunk.keys_at)
    };
    Tensor::cat(chunks(batch, most, N::SEES_ALL).into_iter().map(part).collect(), 0)
}

/// Adds the gradients of a layer's parameters, given that of its result; returns that of its input.
pub(super) fn backward<N: Network>(
    network: &N,
    n: usize,
    x: &Tensor<2>,
    d: &Tensor<2>,
    batch: &PackedBatch,
    most: usize,
    gradients: &mut Parameters,
) -> Tensor<2> {
    let keys = network.valid().keys(n, x.clone());
    let [count, width] = keys.dims();
    let mut d_keys = vec![0.0_f32; count * width];
    let all = chunks(batch, most, N::SEES_ALL);
    let mut d_x = Vec::with_capacity(all.len());
    for chunk in &all {
        let (x, seen) = (Leaf::new(rows(x, &chunk.rows)), Leaf::new(rows(&keys, &chunk.keys)));
        let out = network.layer_over(n, x.0.clone(), &chunk.at, seen.0.clone(), &chunk.keys_at);
        let found = (out * rows(d, &chunk.rows).autodiff()).sum().backward();
        gradients.add_gradients(network, &found);
        d_x.push(x.0.grad(&found).expect("a layer depends on its input"));
        let of_keys = values(seen.0.grad(&found).expect("a layer depends on its keys"));
        let sums = &mut d_keys[chunk.keys.start * width..chunk.keys.end * width];
        sums.iter_mut().zip(of_keys).for_each(|(sum, d)| *sum += d);
    }
    let d_keys = Tensor::<2>::from_data(TensorData::new(d_keys, [count, width]), &x.device());
    for (chunk, d_x) in all.iter().zip(&mut d_x) {
        let leaf = Leaf::new(rows(x, &chunk.rows));
        let out = network.keys(n, leaf.0.clone());
        let more = leaf.backward(out, rows(&d_keys, &chunk.rows), network, gradients);
        *d_x = d_x.clone() + more;
    }
    Tensor::cat(d_x, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_sequences_go_together_and_long_ones_in_parts() {
        let batch = PackedBatch::new((0..30).collect(), None, vec![0, 3, 5, 5, 16, 20, 30]).unwrap();
        let shown = |sees_all| -> Vec<_> {
            chunks(&batch, 6, sees_all).into_iter().map(|chunk| (chunk.rows, chunk.keys)).collect()
        };
        let causal = [
            (0..5, 0..5),
            (5..11, 5..11),
            (11..16, 5..16),
            (16..20, 16..20),
            (20..26, 20..26),
            (26..30, 20..30),
        ];
        assert_eq!(shown(false), causal);
        assert_eq!(shown(true)[1], (5..11, 5..16));
        assert_eq!(chunks(&batch, 6, false)[2].at.positions(), [6, 7, 8, 9, 10]);
    }
}
