use serde_json::{Value, json};

use super::Trained;

impl Trained {
    /// The content of a `tokenizer.json`, in the layout of DNABERT-2's: white space and punctuation part words, and the
    /// second and third special token are put around a text. With fewer special tokens nothing is put around it, and
    /// without any, letters without a token are dropped.
    pub fn to_json(&self) -> Value {
        let special = &self.tokens[..self.special];
        let added: Vec<Value> = special
            .iter()
            .enumerate()
            .map(|(id, token)| {
                json!({"id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                    "normalized": false, "special": true})
            })
            .collect();
        let token = |id: u32| &self.tokens[id as usize];
        let merges: Vec<Value> = self.merges.iter().map(|&(a, b)| json!([token(a), token(b)])).collect();
        // By id: maps of the JSON library are in the order of insertion or of names, readers take either.
        let vocabulary: serde_json::Map<String, Value> =
            self.tokens.iter().enumerate().map(|(id, token)| (token.clone(), json!(id))).collect();
        json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": added,
            "normalizer": null,
            "pre_tokenizer": {"type": "Whitespace"},
            "post_processor": self.template(),
            "decoder": null,
            "model": {
                "type": "BPE",
                "dropout": null,
                "unk_token": special.first(),
                "continuing_subword_prefix": null,
                "end_of_word_suffix": null,
                "fuse_unk": false,
                "byte_fallback": false,
                "ignore_merges": false,
                "vocab": vocabulary,
                "merges": merges,
            },
        })
    }

    fn template(&self) -> Value {
        if self.special < 3 {
            return Value::Null;
        }
        let (start, end) = (&self.tokens[1], &self.tokens[2]);
        let mark = |token: &str, kind: u32| json!({"SpecialToken": {"id": token, "type_id": kind}});
        let text = |name: &str, kind: u32| json!({"Sequence": {"id": name, "type_id": kind}});
        json!({
            "type": "TemplateProcessing",
            "single": [mark(start, 0), text("A", 0), mark(end, 0)],
            "pair": [mark(start, 0), text("A", 0), mark(end, 0), text("B", 1), mark(end, 1)],
            "special_tokens": {
                start: {"id": start, "ids": [1], "tokens": [start]},
                end: {"id": end, "ids": [2], "tokens": [end]},
            },
        })
    }
}
