//! PyramidKV (Cai et al. 2024): SnapKV with more slots in lower layers.

use super::budget::LayerBudgets;
use super::{CachePolicy, INTERVAL, Settings, snapkv};

/// Slots of each layer that average to `mean` for a sequence of `length` tokens: from a maximum in the first layer
/// down to `mean / beta` in the last, in equal steps. A maximum above `length - window` is cut to that and the minimum
/// raised. As in kvpress, all layers get the mean if the smallest would not even hold the window, or the largest not
/// fit the sequence.
pub fn budgets(length: usize, layers: usize, mean: f64, window: usize, beta: usize) -> Vec<usize> {
    let (length, window) = (length as f64, window as f64);
    let mut smallest = mean / beta.max(1) as f64;
    let mut largest = 2.0 * mean - smallest;
    if largest >= length - window {
        largest = length - window;
        smallest = 2.0 * mean - largest;
    }
    let is_pyramid = layers > 1 && length >= largest && largest >= smallest && smallest >= window;
    let step = if is_pyramid { (largest - smallest) / (layers - 1) as f64 } else { 0.0 };
    let first = if is_pyramid { largest } else { mean };
    (0..layers).map(|layer| (first - layer as f64 * step).round_ties_even() as usize).collect()
}

/// SnapKV's window and kernel, and a steepness of 20.
pub fn build(settings: &Settings) -> Box<dyn CachePolicy> {
    let window = (settings.budget / 8).clamp(1, 32);
    let budgets = LayerBudgets::Pyramid { layers: settings.layers, mean: settings.budget, window, beta: 20 };
    Box::new(snapkv::policy(budgets, window, 5, INTERVAL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_that_of_equal_budgets_and_lower_layers_have_more() {
        let slots = budgets(100_000, 9, 4096.0, 64, 20);
        assert_eq!(slots.iter().sum::<usize>(), 9 * 4096);
        assert!(slots.is_sorted_by(|a, b| a > b));
        assert_eq!((slots[0], slots[8]), (7987, 205));
    }

    #[test]
    fn a_short_sequence_flattens_the_pyramid() {
        assert_eq!(budgets(6064, 3, 4096.0, 64, 20), [6000, 4096, 2192]);
        assert_eq!(budgets(4096, 4, 1024.0, 64, 20), [1024; 4]);
        assert_eq!(budgets(100, 1, 40.0, 2, 20), [40]);
    }

    #[test]
    fn a_budget_of_the_whole_sequence_keeps_it_in_every_layer() {
        for window in [1, 8, 32] {
            assert!(budgets(256, 6, 256.0, window, 20).iter().all(|&slots| slots >= 256));
        }
    }
}
