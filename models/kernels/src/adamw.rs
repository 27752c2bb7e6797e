//! The update of AdamW (Loshchilov & Hutter 2019).

use crate::vectorize::vectorize;
use rayon::prelude::*;

/// Numbers that are updated as one task. Nothing is summed, so tasks do not change the result.
const TASK: usize = 1 << 14;

/// Numbers of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Update {
    /// Decay of the means of gradients and of their squares.
    pub betas: [f32; 2],
    /// One less them.
    pub rest: [f32; 2],
    /// What decay leaves of a weight.
    pub keep: f32,
    /// Learning rate, corrected for the mean's start at 0.
    pub size: f32,
    /// Factor of the root of the mean square, that corrects for its start at 0.
    pub root: f32,
    /// Added to the root.
    pub epsilon: f32,
    /// Factor of the gradient.
    pub scale: f32,
}

impl Update {
    /// Changes weights and their moments.
    ///
    /// # Panics
    /// If the slices are of several lengths.
    pub fn apply(&self, values: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32]) {
        let count = values.len();
        assert!(
            [gradient.len(), first.len(), second.len()] == [count; 3],
            "one gradient and moment a weight"
        );
        let moments = first.par_chunks_mut(TASK).zip(second.par_chunks_mut(TASK));
        values.par_chunks_mut(TASK).zip(gradient.par_chunks(TASK)).zip(moments).for_each(
            |((values, gradient), (first, second))| {
                vectorize(
                    #[inline(always)]
                    || {
                        for (((value, &g), m), v) in
                            values.iter_mut().zip(gradient).zip(first.iter_mut()).zip(second.iter_mut())
                        {
                            let g = g * self.scale;
                            *m = self.betas[0] * *m + self.rest[0] * g;
                            *v = self.betas[1] * *v + self.rest[1] * g * g;
                            *value =
                                *value * self.keep - self.size * *m / (v.sqrt() * self.root + self.epsilon);
                        }
                    },
                );
            },
        );
    }
}
