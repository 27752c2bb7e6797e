//! Vectors of an independent implementation, and files of the same form named in `KILOBASE_EXTRA_VECTORS` (separated by
//! colons).

mod shared;

use std::path::{Path, PathBuf};

use kilobase_codecs::dloco::{
    Candidate, Codebook, Entry, Mode, Params, Ranker, Residue, RunLimit, Value, alphabet, read,
    strand::Layout,
};
use serde_json::Value as Json;

fn files() -> Vec<PathBuf> {
    let public = shared::folder("vectors").map(|folder| folder.join("dloco.json"));
    let extra = std::env::var_os("KILOBASE_EXTRA_VECTORS");
    public.into_iter().chain(extra.iter().flat_map(std::env::split_paths)).collect()
}

fn codes(path: &Path) -> Vec<Json> {
    let text = std::fs::read_to_string(path).unwrap();
    let Json::Object(mut file) = serde_json::from_str(&text).unwrap() else { panic!("{}", path.display()) };
    serde_json::from_value(file.remove("codes").unwrap()).unwrap()
}

fn word(json: &Json) -> Vec<u8> {
    alphabet::to_symbols(json.as_str().unwrap().as_bytes()).unwrap()
}

fn number(json: &Json) -> Value {
    json.as_str().unwrap().parse().unwrap()
}

fn items<'a>(code: &'a Json, key: &str) -> &'a [Json] {
    code[key].as_array().map_or(&[], Vec::as_slice)
}

fn candidate(distance: usize, json: &[Json]) -> Candidate {
    let entry = Entry { message: number(&json[0]), complement: json[1].as_u64().unwrap() == 1 };
    Candidate { distance, entry, word: word(&json[2]) }
}

#[test]
fn every_vector_matches() {
    for path in files() {
        for vectors in codes(&path) {
            check(&vectors);
        }
    }
}

fn check(vectors: &Json) {
    let size = |key: &str| vectors[key].as_u64().unwrap() as usize;
    let (run_limit, length, divisor) = (size("ell"), size("m"), size("R") as u32);
    let name = format!("l = {run_limit}, m = {length}");
    let params = Params::with_divisor(run_limit, length, divisor).unwrap();
    let plain = Residue::new(params.mode(Mode::Plain));
    let balanced = Residue::new(params);
    let ranker = Ranker::new(RunLimit::new(run_limit).unwrap(), length);
    assert_eq!(ranker.words(), number(&vectors["N"]), "{name}");
    assert_eq!(u64::from(balanced.residue()), vectors["rho"].as_u64().unwrap(), "{name}");
    assert_eq!(plain.payload_bits(), size("k_plain"), "{name}");
    assert_eq!(balanced.payload_bits(), size("k_balanced"), "{name}");
    for item in items(vectors, "rank") {
        let mut unranked = vec![0; length];
        ranker.unrank(&number(&item[0]), &mut unranked);
        assert_eq!(unranked, word(&item[1]), "{name}");
        assert_eq!(ranker.rank(&word(&item[1])), Some(number(&item[0])), "{name}");
    }
    for item in items(vectors, "extended_rank") {
        let expected = (number(&item[1]), item[2].as_bool().unwrap());
        assert_eq!(ranker.extended_rank(&word(&item[0])), expected, "{name} {item}");
    }
    for item in items(vectors, "plain") {
        let (message, sent) = (number(&item[0]), word(&item[1]));
        assert_eq!(plain.encode(&message, false), sent, "{name}");
        assert_eq!(plain.lookup(&sent), Some(Entry { message, complement: false }), "{name}");
    }
    for item in items(vectors, "balanced") {
        let message = number(&item[0]);
        for (complement, sent) in [(false, word(&item[1])), (true, word(&item[2]))] {
            assert_eq!(balanced.encode(&message, complement), sent, "{name}");
            assert_eq!(balanced.lookup(&sent), Some(Entry { message, complement }), "{name}");
        }
    }
    check_correction(vectors, &balanced, &name);
    check_strands(vectors, &balanced, &name);
}

fn check_correction(vectors: &Json, code: &Residue, name: &str) {
    for item in items(vectors, "single_sub") {
        let received = word(&item["received"]);
        let legal = code.ranker().is_legal(&received);
        assert_eq!(legal, item["in_code"].as_bool().unwrap(), "{name}");
        let corrected = code.correct(&received).map(|(entry, _, _)| entry);
        let expected = (item["status"] == "corrected")
            .then(|| Entry { message: number(&item["u"]), complement: item["rep"].as_u64().unwrap() == 1 });
        assert_eq!(corrected, expected, "{name} {item}");
    }
    for item in items(vectors, "list2") {
        let expected: Vec<Candidate> = items(item, "candidates")
            .iter()
            .map(|c| candidate(c[0].as_u64().unwrap() as usize, &c.as_array().unwrap()[1..]))
            .collect();
        assert_eq!(code.within_two(&word(&item["received"])), expected, "{name} {item}");
    }
    for item in items(vectors, "deletion") {
        let expected: Vec<Candidate> =
            items(item, "candidates").iter().map(|c| candidate(1, c.as_array().unwrap())).collect();
        assert_eq!(code.after_deletion(&word(&item["received"])), expected, "{name} {item}");
    }
    for item in items(vectors, "insertion") {
        let expected: Vec<Candidate> =
            items(item, "candidates").iter().map(|c| candidate(1, c.as_array().unwrap())).collect();
        assert_eq!(code.after_insertion(&word(&item["received"])), expected, "{name} {item}");
    }
}

fn check_strands(vectors: &Json, code: &Residue, name: &str) {
    let options = read::Options { max_cost: 8, doubles: false };
    let messages = |item: &Json| items(item, "msgs").iter().map(number).collect::<Vec<_>>();
    let said = |explanation: &read::Explanation| {
        explanation.entries.iter().map(|entry| entry.message).collect::<Vec<_>>()
    };
    for item in items(vectors, "strands") {
        let layout = Layout::new(code, messages(item).len()).unwrap();
        let strand = layout.encode(&messages(item));
        assert_eq!(strand, word(&item["strand"]), "{name} {item}");
        assert_eq!(
            i64::from(alphabet::word_disparity(&strand)),
            item["disparity"].as_i64().unwrap(),
            "{name}"
        );
        // The errors of these are substitutions, one a word at most; bridges are not looked at.
        let noisy = word(&item["noisy"]);
        let received = noisy.chunks(code.length() + 1).map(|word| code.decode(&word[..code.length()]));
        let decoded: Vec<Value> =
            received.map(|decoded| decoded.entry().expect("one answer").message).collect();
        assert_eq!(decoded, messages(item), "{name} {item}");
    }
    for item in items(vectors, "reads") {
        let layout = Layout::new(code, item["K"].as_u64().unwrap() as usize).unwrap();
        let decoded = read::decode(&layout, &word(&item["read"]), options).expect("one explanation");
        assert_eq!(decoded.cost as u64, item["cost"].as_u64().unwrap(), "{name} {item}");
        assert_eq!(said(&decoded), messages(item), "{name} {item}");
    }
}
