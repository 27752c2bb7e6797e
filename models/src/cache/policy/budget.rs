//! How many slots each layer may keep.

use super::pyramid;

/// Slots of each key/value head, by layer.
#[derive(Clone, Debug, PartialEq)]
pub enum LayerBudgets {
    /// The same in every layer.
    Uniform(usize),
    /// One number a layer: layers of full attention among windowed ones, for instance.
    PerLayer(Vec<usize>),
    /// More in lower layers, see [`pyramid::budgets`].
    Pyramid {
        /// Layers of the model.
        layers: usize,
        /// Slots of a layer on average.
        mean: usize,
        /// Newest slots that always stay.
        window: usize,
        /// Steepness.
        beta: usize,
    },
}

impl LayerBudgets {
    /// Slots that a layer may keep of a sequence of `length` tokens.
    ///
    /// # Panics
    /// If there is no such layer.
    pub fn slots(&self, layer: usize, length: u32) -> usize {
        match self {
            LayerBudgets::Uniform(slots) => *slots,
            LayerBudgets::PerLayer(slots) => slots[layer],
            LayerBudgets::Pyramid { layers, mean, window, beta } => {
                pyramid::budgets(length as usize, *layers, *mean as f64, *window, *beta)[layer]
            }
        }
    }
}
