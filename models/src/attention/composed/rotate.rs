//! Rotary positions from tensor operations.

use super::places::Places;
use crate::attention::{AttnSpec, KeyForm, Normalizer, PosRule, RopeStyle, Rotary};
use burn::tensor::{Device, Tensor, TensorData};
use kilobase_kernels::rotary::Angles;
use std::ops::Range;
use std::sync::Arc;

/// Queries and keys of one sequence as they meet, `[heads, rows, dim]`.
pub(super) struct Turned {
    q: Tensor<3>,
    k: Tensor<3>,
    /// With a distance cap: the cap, queries for keys farther back and farther ahead, and the keys these meet.
    far: Option<(u32, [Tensor<3>; 2], Tensor<3>)>,
}

impl Turned {
    pub(super) fn new(
        spec: &AttnSpec,
        q: Tensor<3>,
        k: Tensor<3>,
        query_positions: &[u32],
        key_positions: &[u32],
        form: KeyForm,
    ) -> Self {
        let turned = Self::by_position(spec, q, k, query_positions, key_positions, form);
        if spec.norm == Normalizer::Softmax { turned } else { turned.unit() }
    }

    fn by_position(
        spec: &AttnSpec,
        q: Tensor<3>,
        k: Tensor<3>,
        query_positions: &[u32],
        key_positions: &[u32],
        form: KeyForm,
    ) -> Self {
        let PosRule::Rope { rotary, cap } = &spec.pos else { return Self { q, k, far: None } };
        assert!(cap.is_none() || form == KeyForm::Raw, "a distance cap needs raw keys");
        let places = |positions: &[u32]| positions.iter().map(|&p| i64::from(p)).collect::<Vec<_>>();
        let far = cap.map(|cap| {
            // Raw keys lack the factor.
            let at = |angle| rotated(rotary, q.clone(), &[angle]).mul_scalar(rotary.factor());
            (cap, [at(i64::from(cap)), at(-i64::from(cap))], k.clone())
        });
        let q = rotated(rotary, q, &places(query_positions));
        let k = if form == KeyForm::Raw { rotated(rotary, k, &places(key_positions)) } else { k };
        Self { q, k, far }
    }

    /// All of unit length.
    fn unit(self) -> Self {
        let far = self.far.map(|(cap, queries, k)| (cap, queries.map(unit), unit(k)));
        Self { q: unit(self.q), k: unit(self.k), far }
    }

    pub(super) fn heads(&self) -> usize {
        self.q.dims()[0]
    }

    pub(super) fn dim(&self) -> usize {
        self.q.dims()[2]
    }

    /// `q k^T` of some rows, `[heads, rows, slots]`, each pair by its distance.
    pub(super) fn products(&self, rows: Range<usize>, places: &Places) -> Tensor<3> {
        let part = |q: &Tensor<3>| q.clone().narrow(1, rows.start, rows.len());
        let near = part(&self.q).matmul(self.k.clone().transpose());
        let Some((cap, [past, future], k)) = &self.far else { return near };
        let (back, ahead) = places.beyond(*cap);
        let (dims, k) = (near.dims(), k.clone().transpose());
        near.mask_where(back.expand(dims), part(past).matmul(k.clone()))
            .mask_where(ahead.expand(dims), part(future).matmul(k))
    }
}

/// Divides the last axis by its length; zeros stay.
fn unit(x: Tensor<3>) -> Tensor<3> {
    let square = x.clone().powi_scalar(2).sum_dim(2);
    x / square.add_scalar(f32::MIN_POSITIVE).sqrt()
}

/// Rotates `[heads, rows, dim]` by the position of each row; one position counts for all rows.
fn rotated(rotary: &Arc<Rotary>, x: Tensor<3>, positions: &[i64]) -> Tensor<3> {
    let [heads, rows, dim] = x.dims();
    let (cos, sin) = tables(rotary, positions, &x.device()); // [1, positions, dim / 2]
    match rotary.style() {
        RopeStyle::Half => {
            let (a, b) = (x.clone().narrow(2, 0, dim / 2), x.narrow(2, dim / 2, dim / 2));
            let (c, d) = (a.clone() * cos.clone() - b.clone() * sin.clone(), a * sin + b * cos);
            Tensor::cat(vec![c, d], 2)
        }
        RopeStyle::Interleaved => {
            let pairs = x.reshape([heads, rows, dim / 2, 2]);
            let part = |i| pairs.clone().narrow(3, i, 1).squeeze_dim::<3>(3);
            let (a, b) = (part(0), part(1));
            let (c, d) = (a.clone() * cos.clone() - b.clone() * sin.clone(), a * sin + b * cos);
            Tensor::stack::<4>(vec![c, d], 3).reshape([heads, rows, dim])
        }
    }
}

fn tables(rotary: &Rotary, positions: &[i64], device: &Device) -> (Tensor<3>, Tensor<3>) {
    let mut angles = Angles::default();
    rotary.angles(positions.iter().copied(), &mut angles);
    let half = rotary.frequencies().len();
    let rows = (0..positions.len()).map(|row| angles.row(row));
    let (cos, sin): (Vec<_>, Vec<_>) = rows.unzip();
    let tensor = |rows: Vec<&[f32]>| {
        Tensor::from_data(TensorData::new(rows.concat(), [1, positions.len(), half]), device)
    };
    (tensor(cos), tensor(sin))
}
