//! The encoder in stages that training differentiates one by one.

use super::{DnaBert2, indices};
use crate::attention::{Kv, Packing, attention};
use crate::checkpoint::Checkpoint;
use crate::family::{self, Model};
use crate::nn::Precision;
use crate::train::head::Matrix;
use crate::train::{Network, Output};
use burn::tensor::activation::gelu;
use burn::tensor::{Device, Tensor};
use kilobase_data::batch::PackedBatch;

impl Network for DnaBert2 {
    const WORDS: &'static str = "bert.embeddings.word_embeddings.weight";
    const HEAD: &'static [&'static str] = &["bert.pooler.", "classifier."];

    fn open(checkpoint: Checkpoint, device: &Device, precision: Precision) -> Result<Self, family::Error> {
        match Model::load(checkpoint, device, precision)? {
            Model::DnaBert2 { model, .. } => Ok(*model),
            other @ Model::Generator { .. } => panic!("a checkpoint of the family {}", other.family()),
        }
    }

    fn names(&self, path: &[&str], rows: usize) -> Vec<(String, usize)> {
        let leaf = |leaf: &str| match leaf {
            "gamma" => "weight".to_owned(),
            "beta" => "bias".to_owned(),
            other => other.to_owned(),
        };
        let name = match *path {
            [embedding @ ("word_embeddings" | "token_type_embeddings")] => {
                format!("bert.embeddings.{embedding}.weight")
            }
            ["norm", last] => format!("bert.embeddings.LayerNorm.{}", leaf(last)),
            ["layers", n, ref part @ .., last] => {
                let part = match part {
                    ["wqkv"] => "attention.self.Wqkv",
                    ["attention_out", "linear"] => "attention.output.dense",
                    ["attention_out", "norm"] => "attention.output.LayerNorm",
                    ["mlp", "gated"] => "mlp.gated_layers",
                    ["mlp", "down", "linear"] => "mlp.wo",
                    ["mlp", "down", "norm"] => "mlp.layernorm",
                    other => unreachable!("a layer has no {other:?}"),
                };
                format!("bert.encoder.layer.{n}.{part}.{}", leaf(last))
            }
            ["mlm", "transform", last] => format!("cls.predictions.transform.dense.{last}"),
            ["mlm", "norm", last] => format!("cls.predictions.transform.LayerNorm.{}", leaf(last)),
            ["mlm", "decoder_bias"] => "cls.predictions.decoder.bias".to_owned(),
            ["head", "pooler", last] => format!("bert.pooler.dense.{last}"),
            ["head", "classifier", last] => format!("classifier.{last}"),
            ref other => unreachable!("an encoder has no {other:?}"),
        };
        vec![(name, rows)]
    }

    fn words(&self, ids: &[u32]) -> Tensor<2> {
        let ids: Vec<usize> = ids.iter().map(|&id| id as usize).collect();
        self.word_embeddings.val().select(0, indices(&ids, &self.device()))
    }

    fn begin(&self, words: Tensor<2>, batch: &PackedBatch) -> Tensor<2> {
        self.embedded(words, batch)
    }

    fn layers(&self) -> usize {
        self.layers.len()
    }

    fn layer(&self, n: usize, x: Tensor<2>, batch: &PackedBatch) -> Tensor<2> {
        let packing = Packing::from_offsets(batch.cu_seqlens());
        self.layers[n].forward(x, &packing, self.heads, &self.spec())
    }

    const SEES_ALL: bool = true;

    fn keys(&self, n: usize, x: Tensor<2>) -> Tensor<2> {
        let hidden = self.hidden_size();
        self.layers[n].wqkv.forward_rows(x, hidden, 2 * hidden)
    }

    fn layer_over(
        &self,
        n: usize,
        x: Tensor<2>,
        at: &Packing,
        keys: Tensor<2>,
        keys_at: &Packing,
    ) -> Tensor<2> {
        let layer = &self.layers[n];
        let [rows, hidden] = x.dims();
        let (slots, heads) = (keys.dims()[0], self.heads);
        let q = layer.wqkv.forward_rows(x.clone(), 0, hidden).reshape([rows, heads, hidden / heads]);
        let keys = keys.reshape([slots, 2 * heads, hidden / heads]);
        let kv = Kv::new(keys.clone().narrow(1, 0, heads), keys.narrow(1, heads, heads), keys_at.clone());
        let out = attention(q, at, kv, &self.spec()).out.reshape([rows, hidden]);
        let x = layer.attention_out.forward(out, x);
        layer.mlp.forward(x.clone(), x)
    }

    /// The transform of the masked-language-model head.
    fn end(&self, x: Tensor<2>, rows: &[usize]) -> Tensor<2> {
        let mlm = self.mlm.as_ref().expect("looked at before");
        let chosen = x.select(0, indices(rows, &self.device()));
        mlm.norm.forward(gelu(mlm.transform.forward(chosen)))
    }

    fn classify(&self, x: Tensor<2>, batch: &PackedBatch) -> Option<Tensor<2>> {
        self.class_logits(&x, batch)
    }

    fn output(&self) -> Option<(Output, Matrix)> {
        let mlm = self.mlm.as_ref()?;
        let precision = mlm.transform.precision();
        let output = Output { weight: Self::WORDS, bias: Some("cls.predictions.decoder.bias") };
        Some((
            output,
            Matrix { weight: self.word_embeddings.val(), bias: Some(mlm.decoder_bias.val()), precision },
        ))
    }
}
