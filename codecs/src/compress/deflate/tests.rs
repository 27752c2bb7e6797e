use proptest::prelude::*;

use super::*;

/// Sequences in which matches are common: pieces are copied from what is there, now and then with a letter changed.
fn sequence(letters: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    let piece = (any::<u32>(), 0_usize..400, any::<u8>(), 0_usize..60);
    prop::collection::vec(piece, 0..12).prop_map(move |pieces| {
        let mut out: Vec<u8> = Vec::new();
        for (seed, copied, change, fresh) in pieces {
            if !out.is_empty() {
                let from = seed as usize % out.len();
                for at in from..from + copied {
                    out.push(out[at]);
                }
                let last = out.len() - 1;
                out[last] = letters[usize::from(change) % letters.len()];
            }
            let mut state = u64::from(seed) << 8 | u64::from(change);
            for _ in 0..fresh {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                out.push(letters[(state >> 40) as usize % letters.len()]);
            }
        }
        out
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn sizes_of_bases_are_those_of_zlib(x in sequence(b"ACGT"), y in sequence(b"ACGT")) {
        check(&x, &y);
    }

    #[test]
    fn sizes_of_related_sequences_are_those_of_zlib(x in sequence(b"ACGT"), y in sequence(b"ACGT"), at in 0_usize..1000) {
        let y = [&x[x.len().min(at)..], &y].concat();
        check(&x, &y);
    }

    #[test]
    fn sizes_with_other_letters_are_those_of_zlib(x in sequence(b"ACGTACGTACGTNRYnN"), y in sequence(b"ACGTNACGTACGTKM")) {
        check(&x, &y);
    }

    #[test]
    fn sizes_of_any_bytes_are_those_of_zlib(x in prop::collection::vec(any::<u8>(), 0..300), y in prop::collection::vec(any::<u8>(), 0..300)) {
        check(&x, &y);
    }
}

#[test]
fn short_and_uniform_sequences_are_followed() {
    for x in ["", "A", "AC", "ACG", "AAAAAAAAAAAA", "ACGTACGTACGT", "NNNNNNNN", "ACGTNNNNACGTNNNN"] {
        for y in ["", "A", "GT", "AAA", "ACGTACGT", "NNNN", "ACGNACGNNNNACGT"] {
            assert!(check(x.as_bytes(), y.as_bytes()), "{x} {y}");
        }
    }
}

#[test]
fn a_long_run_is_left_to_zlib() {
    let run = vec![b'A'; 2000];
    assert!(Query::new(&run).is_none());
    let query = Query::new(b"ACGT").unwrap();
    assert_eq!(query.size_with(b' ', &Sequence::new(&run).unwrap()), None);
    assert!(Sequence::new(&vec![b'A'; WINDOW + 1]).is_none());
}
