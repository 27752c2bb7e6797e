//! Checkpoints that are not what they should be.

use crate::*;
use std::io::Write;

/// A copy of the demo model that `change` may spoil.
fn spoilt(change: impl FnOnce(&Path)) -> TempDir {
    let folder = folder();
    for entry in fs::read_dir(MODEL).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    change(folder.path());
    folder
}

/// The weights with other names, shapes or without some.
fn rewritten(change: impl Fn(&str, Vec<usize>) -> Option<(String, Vec<usize>)>) -> TempDir {
    spoilt(|model| {
        let path = model.join("model.safetensors");
        let bytes = fs::read(&path).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let views: Vec<_> = tensors
            .tensors()
            .into_iter()
            .filter_map(|(name, view)| {
                let (name, shape) = change(&name, view.shape().to_vec())?;
                let data = &view.data()[..4 * shape.iter().product::<usize>()];
                Some((name, safetensors::tensor::TensorView::new(view.dtype(), shape, data).unwrap()))
            })
            .collect();
        fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
    })
}

#[test]
fn weights_that_are_not_the_models_are_refused() {
    let gated = "bert.encoder.layer.1.mlp.gated_layers.weight";
    let missing = rewritten(|name, shape| (name != gated).then(|| (name.to_owned(), shape)));
    refuses(LAMBDA, text(missing.path()), 1, &["1 missing", gated]);
    let extra = rewritten(|name, shape| {
        Some((if name == gated { "bert.encoder.layer.7.strange".into() } else { name.to_owned() }, shape))
    });
    refuses(LAMBDA, text(extra.path()), 1, &["1 missing", "1 unexpected (bert.encoder.layer.7.strange)"]);
    let shape = rewritten(|name, shape| {
        Some((name.to_owned(), if name == gated { vec![shape[0] / 2, shape[1]] } else { shape }))
    });
    refuses(LAMBDA, text(shape.path()), 1, &["of another shape", gated, "[192, 64], not [384, 64]"]);
}

#[test]
fn a_standard_bert_is_not_taken_for_dnabert2() {
    let vanilla = rewritten(|name, shape| Some((name.replace(".self.Wqkv.", ".self.query."), shape)));
    fs::write(vanilla.path().join("config.json"), r#"{"model_type": "bert", "hidden_size": 64}"#).unwrap();
    refuses(LAMBDA, text(vanilla.path()), 1, &["standard BERT", "not supported"]);
    let llama = rewritten(|name, shape| {
        Some((name.replace("bert.encoder", "model.layers").replace("Wqkv", "q"), shape))
    });
    for (config, part) in [
        (r#"{"model_type": "mistral"}"#, "model_type \"mistral\" is not supported"),
        (r#"{"model_type": "llama"}"#, "missing field `hidden_size`"),
        (
            r#"{"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
                "intermediate_size": 96, "vocab_size": 261, "max_position_embeddings": 512}"#,
            "missing (lm_head.weight, model.embed_tokens.weight, model.layers.0.input_layernorm.weight, ...)",
        ),
    ] {
        fs::write(llama.path().join("config.json"), config).unwrap();
        refuses(LAMBDA, text(llama.path()), 1, &[part]);
    }
}

#[test]
fn damaged_and_hostile_safetensors_are_refused() {
    let weights = |model: &Path| model.join("model.safetensors");
    let truncated = spoilt(|model| {
        let bytes = fs::read(weights(model)).unwrap();
        fs::write(weights(model), &bytes[..bytes.len() - 100]).unwrap();
    });
    refuses(LAMBDA, text(truncated.path()), 1, &["model.safetensors"]);
    let huge = spoilt(|model| {
        let mut bytes = fs::read(weights(model)).unwrap();
        bytes[..8].copy_from_slice(&(u64::MAX / 2).to_le_bytes());
        fs::write(weights(model), bytes).unwrap();
    });
    refuses(LAMBDA, text(huge.path()), 1, &["model.safetensors"]);
    for header in [
        r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#,
        r#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}"#,
        r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,800000000]}}"#,
    ] {
        let hostile = spoilt(|model| {
            let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
            bytes.extend(header.as_bytes());
            bytes.extend([0; 12]);
            fs::write(weights(model), bytes).unwrap();
        });
        refuses(LAMBDA, text(hostile.path()), 1, &["model.safetensors"]);
    }
}

#[test]
fn a_pickle_that_calls_a_program_is_refused_and_not_run() {
    let folder = folder();
    let proof = folder.path().join("proof");
    let hostile = spoilt(|model| {
        fs::remove_file(model.join("model.safetensors")).unwrap();
        // cos\nsystem\n( X touch proof t R .
        let call = format!("touch {}", proof.display());
        let mut pickle = b"\x80\x02cos\nsystem\n(X".to_vec();
        pickle.extend((call.len() as u32).to_le_bytes());
        pickle.extend(call.as_bytes());
        pickle.extend(b"tR.");
        let mut zip = zip::ZipWriter::new(fs::File::create(model.join("pytorch_model.bin")).unwrap());
        let stored =
            zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        for (name, content) in [("archive/data.pkl", &pickle[..]), ("archive/version", b"3\n")] {
            zip.start_file(name, stored).unwrap();
            zip.write_all(content).unwrap();
        }
        zip.finish().unwrap();
    });
    refuses(LAMBDA, text(hostile.path()), 1, &["pytorch_model.bin", "os", "system"]);
    assert!(!proof.exists(), "the call was run");
}

#[test]
fn a_tokenizer_of_another_size_is_refused() {
    let other = spoilt(|model| {
        fs::remove_file(model.join("tokenizer.json")).unwrap();
        let kmers = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/generator-tiny");
        for name in ["vocab.txt", "tokenizer_config.json"] {
            fs::copy(Path::new(kmers).join(name), model.join(name)).unwrap();
        }
    });
    refuses(LAMBDA, text(other.path()), 1, &["the tokenizer has 4128 tokens, the model's vocabulary 1024"]);
    let none = spoilt(|model| fs::remove_file(model.join("tokenizer.json")).unwrap());
    refuses(LAMBDA, text(none.path()), 1, &["tokenizer"]);
}
