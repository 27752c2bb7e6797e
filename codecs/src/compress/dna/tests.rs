use super::*;
use proptest::prelude::*;

fn encode(bases: &[u8]) -> Vec<u8> {
    let (mut predictor, mut encoder) = (Predictor::new(bases.len()), Encoder::new());
    for &base in bases {
        encoder.encode(predictor.predict(), base);
        predictor.update(base);
    }
    encoder.finish()
}

fn decode(bytes: &[u8], length: usize) -> Vec<u8> {
    let (mut predictor, mut decoder) = (Predictor::new(length), Decoder::new(bytes));
    (0..length)
        .map(|_| {
            let base = decoder.decode(predictor.predict());
            predictor.update(base);
            base
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn bases_come_back(mut bases in prop::collection::vec(0_u8..4, 0..600), copies in prop::collection::vec(any::<prop::sample::Index>(), 0..4)) {
        for copy in copies {
            let from = copy.index(bases.len() + 1);
            let inverted: Vec<u8> = bases[from..].iter().rev().map(|base| 3 - base).collect();
            bases.extend(inverted);
        }
        prop_assert_eq!(decode(&encode(&bases), bases.len()), bases);
    }
}

#[test]
fn any_bytes_decode_to_something() {
    for seed in 0..50_u8 {
        let bytes: Vec<u8> = (0..40).map(|at| seed.wrapping_mul(at).wrapping_add(seed ^ at)).collect();
        assert_eq!(decode(&bytes, 300).len(), 300);
    }
}
