//! Bringing the names in a checkpoint to those a model knows.

use std::collections::HashSet;

/// Prefixes that wrappers leave on every name, plainest first: none, `DataParallel`, a model kept in a field, both.
const PREFIXES: [&str; 4] = ["", "module.", "model.", "module.model."];

/// What TensorFlow called the parameters of a normalisation.
const LEGACY: [(&str, &str); 2] = [(".gamma", ".weight"), (".beta", ".bias")];

/// The known name for each of `stored`, or the name itself without the prefix if it is not known.
///
/// A prefix is removed only if every name has it, and only if that makes more of them known: names of Llama begin with
/// `model.` by right.
pub(super) fn normalise(stored: &[&str], known: &HashSet<&str>) -> Vec<String> {
    let hits = |prefix: &str| {
        let known = |name: &&&str| known.contains(modern(&name[prefix.len()..], known).as_str());
        stored.iter().filter(known).count()
    };
    let mut best = ("", hits(""));
    for prefix in &PREFIXES[1..] {
        if stored.iter().all(|name| name.starts_with(prefix)) {
            let hits = hits(prefix);
            if hits > best.1 {
                best = (prefix, hits);
            }
        }
    }
    stored.iter().map(|name| modern(&name[best.0.len()..], known)).collect()
}

/// The name with `.gamma` or `.beta` replaced, if it is known only so.
fn modern(name: &str, known: &HashSet<&str>) -> String {
    if !known.contains(name) {
        for (old, new) in LEGACY {
            if let Some(stem) = name.strip_suffix(old) {
                let renamed = format!("{stem}{new}");
                if known.contains(renamed.as_str()) {
                    return renamed;
                }
            }
        }
    }
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalised(stored: &[&str], known: &[&str]) -> Vec<String> {
        normalise(stored, &known.iter().copied().collect())
    }

    #[test]
    fn names_that_are_known_are_left_alone() {
        let llama = ["model.embed_tokens.weight", "model.norm.weight"];
        assert_eq!(normalised(&llama, &llama), llama);
    }

    #[test]
    fn a_prefix_on_every_name_is_removed() {
        let known = ["bert.a.weight", "cls.b"];
        assert_eq!(normalised(&["module.bert.a.weight", "module.cls.b"], &known), known);
        assert_eq!(normalised(&["model.bert.a.weight", "model.cls.b"], &known), known);
        assert_eq!(normalised(&["module.model.bert.a.weight", "module.model.cls.b"], &known), known);
        let llama = ["model.norm.weight", "lm_head.weight"];
        assert_eq!(normalised(&["module.model.norm.weight", "module.lm_head.weight"], &llama), llama);
    }

    #[test]
    fn a_prefix_on_some_names_stays() {
        let stored = ["model.bert.a.weight", "cls.b"];
        assert_eq!(normalised(&stored, &["bert.a.weight", "cls.b"]), stored);
    }

    #[test]
    fn gamma_and_beta_become_weight_and_bias_where_those_are_known() {
        let known = ["l.LayerNorm.weight", "l.LayerNorm.bias", "q.beta"];
        let stored = ["l.LayerNorm.gamma", "l.LayerNorm.beta", "q.beta", "r.gamma"];
        assert_eq!(
            normalised(&stored, &known),
            ["l.LayerNorm.weight", "l.LayerNorm.bias", "q.beta", "r.gamma"]
        );
    }
}
