//! Scores to weights.

use crate::attention::{AttnSpec, Normalizer};
use burn::tensor::activation::{relu, softplus};
use burn::tensor::{Bool, Tensor};

/// A row of LSSAR whose largest re-weighted score is not above this has equal weights, up to rounding.
const UNIFORM: f32 = 1e-5;

/// Products times their factor: the spec's scale, or for the softplus normalisers `ln dim * ln(visible keys)`.
pub(super) fn scaled(
    spec: &AttnSpec,
    products: Tensor<3>,
    hidden: Option<&Tensor<3, Bool>>,
    dim: usize,
) -> Tensor<3> {
    if spec.norm == Normalizer::Softmax {
        return products.mul_scalar(spec.scale);
    }
    let counts = visible(&products, hidden).clamp_min(1.0);
    products * counts.log().mul_scalar((dim as f32).ln())
}

/// Keys that each row sees, `[1 or heads, rows, 1]`.
fn visible(scores: &Tensor<3>, hidden: Option<&Tensor<3, Bool>>) -> Tensor<3> {
    match hidden {
        Some(hidden) => hidden.clone().bool_not().float().sum_dim(2),
        None => Tensor::full([1, 1, 1], scores.dims()[2] as f32, &scores.device()),
    }
}

/// Weights `[heads, rows, keys]` and the logarithm of their denominator `[heads, rows, 1]`. A row that sees nothing has
/// weights 0 and minus infinity.
pub(super) fn normalise(
    norm: Normalizer,
    scores: Tensor<3>,
    hidden: Option<&Tensor<3, Bool>>,
) -> (Tensor<3>, Tensor<3>) {
    let counts = visible(&scores, hidden);
    let hide = |x: Tensor<3>, value: f32| match hidden {
        Some(hidden) => {
            let dims = x.dims();
            x.mask_fill(hidden.clone().expand(dims), value)
        }
        None => x,
    };
    match norm {
        Normalizer::Softmax => {
            // The lowest finite number, not minus infinity: a row that sees nothing must not become NaN.
            let scores = hide(scores, f32::MIN);
            let max = scores.clone().detach().max_dim(2);
            let (weights, sum) = divided(hide((scores - max.clone()).exp(), 0.0));
            (weights, sum.log() + max)
        }
        Normalizer::SoftplusL1 => {
            let (weights, sum) = divided(hide(softplus(scores, 1.0), 0.0));
            (weights, sum.log())
        }
        Normalizer::SoftplusPow { p } => reweighted(hide(softplus(scores, 1.0), 0.0), counts, p),
    }
}

/// LSSAR's second stage: `relu(A N - O)^p`, divided by its sum.
fn reweighted(first: Tensor<3>, counts: Tensor<3>, p: f32) -> (Tensor<3>, Tensor<3>) {
    let (weights, sum) = divided(first.clone());
    let offset = counts.clone().greater_scalar(3.0).float();
    let raised = relu(weights * counts - offset);
    let max = raised.clone().detach().max_dim(2);
    let uniform = max.clone().lower_equal_scalar(UNIFORM);
    let safe = max.mask_fill(uniform.clone(), 1.0);
    let powers = (raised / safe.clone()).powf_scalar(p);
    let dims = powers.dims();
    let (weights, total) = divided(powers.mask_where(uniform.clone().expand(dims), first));
    let lse = (total.log() + safe.log().mul_scalar(p)).mask_where(uniform, sum.log());
    (weights, lse)
}

/// Rows divided by their sums, and the sums.
fn divided(weights: Tensor<3>) -> (Tensor<3>, Tensor<3>) {
    let sum = weights.clone().sum_dim(2);
    let none = sum.clone().equal_scalar(0.0);
    (weights / sum.clone().mask_fill(none, 1.0), sum)
}
