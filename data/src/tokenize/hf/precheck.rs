use serde_json::Value;

/// Refuses what the `tokenizers` library (0.23) would panic on, or read out of bounds, or make random; gives the reason.
pub(super) fn check(json: &Value) -> Result<(), String> {
    let model = &json["model"];
    if model["merges"].is_array() {
        check_merges(model)?;
    }
    if model["dropout"].as_f64().is_some_and(|dropout| dropout != 0.0) {
        return Err("dropout is set: the same text would give other tokens each time".into());
    }
    Ok(())
}

/// The library joins both halves of a merge in a buffer as long as the longest token, and cuts a prefix off the second
/// half, before it looks whether the joined token exists.
fn check_merges(model: &Value) -> Result<(), String> {
    let prefix = model["continuing_subword_prefix"].as_str().unwrap_or_default();
    let known = |token: &str| model["vocab"].get(token).is_some();
    for merge in model["merges"].as_array().into_iter().flatten() {
        let halves = match merge {
            Value::String(text) => text.split_once(' '),
            Value::Array(halves) => match &halves[..] {
                [Value::String(first), Value::String(second)] => Some((first.as_str(), second.as_str())),
                _ => None,
            },
            _ => None,
        };
        let Some((first, second)) = halves else {
            return Err(format!("merge {merge} is not a pair of tokens"));
        };
        let joined = second.strip_prefix(prefix).map(|second| format!("{first}{second}"));
        if !known(first) || !known(second) || !joined.is_some_and(|token| known(&token)) {
            return Err(format!("merge {merge} makes a token that is not in the vocabulary"));
        }
    }
    Ok(())
}
