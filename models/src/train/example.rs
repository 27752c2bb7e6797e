//! What a forward pass reads and is asked.

use kilobase_data::batch::PackedBatch;
use rand::RngExt;
use rand::rngs::ChaCha8Rng;

/// Packed sequences, and rows of them with the token that each is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Example {
    /// The tokens that are read.
    pub batch: PackedBatch,
    /// Rows that predict.
    pub rows: Vec<usize>,
    /// What they are asked for.
    pub targets: Vec<u32>,
}

impl Example {
    /// Each token predicts the next one of its sequence, where `counts` says that it counts.
    pub fn causal(batch: PackedBatch, counts: impl Fn(u32) -> bool) -> Self {
        let (mut rows, mut targets) = (Vec::new(), Vec::new());
        for span in batch.spans() {
            for row in span.start..span.end.saturating_sub(1) {
                let next = batch.ids()[row + 1];
                if counts(next) {
                    rows.push(row);
                    targets.push(next);
                }
            }
        }
        Self { batch, rows, targets }
    }

    /// Hides tokens to be guessed (Devlin et al. 2019).
    ///
    /// # Panics
    /// If `special` has not one mark a token.
    pub fn masked(batch: &PackedBatch, special: &[bool], masking: &Masking, rng: &mut ChaCha8Rng) -> Self {
        assert_eq!(special.len(), batch.tokens(), "one mark a token");
        let mut ids = batch.ids().to_vec();
        let (mut rows, mut targets) = (Vec::new(), Vec::new());
        for (row, id) in ids.iter_mut().enumerate() {
            if special[row] || !rng.random_bool(masking.share) {
                continue;
            }
            rows.push(row);
            targets.push(*id);
            let kind: f64 = rng.random();
            if kind < 0.8 {
                *id = masking.mask;
            } else if kind < 0.9 {
                *id = masking.plain[rng.random_range(0..masking.plain.len())];
            }
        }
        let types = batch.type_ids().map(<[u32]>::to_vec);
        let batch = PackedBatch::new(ids, types, batch.cu_seqlens().to_vec()).expect("borders of a batch");
        Self { batch, rows, targets }
    }
}

/// How tokens are hidden: of the chosen ones 80 % become the mask, 10 % a random token, 10 % stay.
#[derive(Clone, Debug, PartialEq)]
pub struct Masking {
    /// Share of the tokens that are chosen.
    pub share: f64,
    /// The token that hides.
    pub mask: u32,
    /// Tokens that are put in at random: those of text.
    pub plain: Vec<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn tokens_predict_the_next_of_their_own_sequence() {
        let batch = PackedBatch::new(vec![1, 5, 0, 7, 1, 9, 1], None, vec![0, 4, 6, 7]).unwrap();
        let example = Example::causal(batch, |id| id != 0);
        assert_eq!((example.rows, example.targets), (vec![0, 2, 4], vec![5, 7, 9]));
    }

    #[test]
    fn masking_is_fifteen_percent_and_eighty_ten_ten() {
        let tokens = 40_000;
        let ids: Vec<u32> = (0..tokens).map(|n| 10 + n % 90).collect();
        let batch = PackedBatch::new(ids.clone(), None, vec![0, ids.len()]).unwrap();
        let special: Vec<bool> = (0..ids.len()).map(|n| n % 100 == 0).collect();
        let masking = Masking { share: 0.15, mask: 4, plain: (100..200).collect() };
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let example = Example::masked(&batch, &special, &masking, &mut rng);
        let count = example.rows.len() as f64;
        assert!((count / (0.99 * f64::from(tokens)) - 0.15).abs() < 0.01, "{count}");
        let (mut hidden, mut random, mut same) = (0.0, 0.0, 0.0);
        for (&row, &target) in example.rows.iter().zip(&example.targets) {
            assert!(!special[row] && target == ids[row]);
            match example.batch.ids()[row] {
                4 => hidden += 1.0,
                id if id == target => same += 1.0,
                id => {
                    assert!((100..200).contains(&id));
                    random += 1.0;
                }
            }
        }
        for (found, expected) in [(hidden, 0.8), (random, 0.1), (same, 0.1)] {
            assert!((found / count - expected).abs() < 0.02, "{found} of {count}");
        }
        // What was not chosen is as it was.
        let changed = (0..ids.len()).filter(|&n| example.batch.ids()[n] != ids[n]).count();
        assert_eq!(changed, (hidden + random) as usize);
    }
}
