//! Sites of every enzyme, on both strands and over the end of the prompt.

use kilobase_models::decode::constraint::{Automaton, Enzyme, Motifs};

use super::checker::fault;

#[test]
fn every_enzyme_is_found_where_it_is() {
    let context = b"ACTTGACATTCAGGATTTGCTACAT";
    for enzyme in Enzyme::all() {
        let site = enzyme.site();
        let motifs = Motifs::new([(enzyme.to_string(), &site)]).expect("an automaton");
        for strand in [site.clone(), site.reverse_complement()] {
            // A base that fits each letter.
            let bases = strand.to_string().replace(['N', 'R', 'W', 'M', 'V', 'D', 'H'], "A");
            let bases = bases.replace(['Y', 'S', 'B'], "C").replace('K', "G");
            let text = [context, bases.as_bytes()].concat();
            let constraints =
                serde_json::from_str(&format!(r#"{{"forbid_sites":["{enzyme}"]}}"#)).expect("one");
            // Its last base is refused, or one before it that ends another site.
            let mut state = motifs.start();
            let mut seen = 0;
            for &letter in &text {
                let base = kilobase_models::decode::base::Base::of(letter).expect("a base");
                seen += 1;
                match motifs.step(state, base) {
                    Some(next) => state = next,
                    None => break,
                }
            }
            assert!(
                fault(&constraints, &text[..seen - 1], &text[seen - 1..seen]).is_some(),
                "{enzyme} in {bases}"
            );
            assert!(fault(&constraints, b"", &text[..seen - 1]).is_none(), "{enzyme} in {bases}");
        }
    }
}
