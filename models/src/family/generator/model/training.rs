//! The decoder in stages that training differentiates one by one.

use super::{Generator, Shape};
use crate::attention::{Kv, Packing, attention};
use crate::checkpoint::Checkpoint;
use crate::family::{self, Model};
use crate::nn::Precision;
use crate::train::head::Matrix;
use crate::train::{Network, Output};
use burn::tensor::{Device, Tensor};
use kilobase_data::batch::PackedBatch;

impl Network for Generator {
    const WORDS: &'static str = "model.embed_tokens.weight";
    const HEAD: &'static [&'static str] = &["score."];

    fn open(checkpoint: Checkpoint, device: &Device, precision: Precision) -> Result<Self, family::Error> {
        match Model::load(checkpoint, device, precision)? {
            Model::Generator { model, .. } => Ok(*model),
            other @ Model::DnaBert2 { .. } => panic!("a checkpoint of the family {}", other.family()),
        }
    }

    fn names(&self, path: &[&str], rows: usize) -> Vec<(String, usize)> {
        let one = |name: &str| vec![(format!("{name}.weight"), rows)];
        match path {
            ["embed_tokens"] => one("model.embed_tokens"),
            ["norm", "gamma"] => one("model.norm"),
            ["lm_head", "weight"] if self.shape.tied => one("model.embed_tokens"),
            ["lm_head", "weight"] => one("lm_head"),
            ["score", "weight"] => one("score"),
            ["layers", n, part @ ..] => {
                let name = |part: &str| format!("model.layers.{n}.{part}.weight");
                let one = |part: &str| vec![(name(part), rows)];
                match part {
                    ["qkv", "weight"] => {
                        let [q, kv] =
                            [self.shape.heads, self.shape.kv_heads].map(|n| n * self.shape.head_dim);
                        let part = |letter: &str| name(&format!("self_attn.{letter}_proj"));
                        vec![(part("q"), q), (part("k"), kv), (part("v"), kv)]
                    }
                    ["mlp", "gated", "weight"] => {
                        vec![(name("mlp.gate_proj"), rows / 2), (name("mlp.up_proj"), rows / 2)]
                    }
                    ["mlp", "down", "linear", "weight"] => one("mlp.down_proj"),
                    ["attention_out", "linear", "weight"] => one("self_attn.o_proj"),
                    ["attention_norm", "gamma"] => one("input_layernorm"),
                    ["mlp_norm", "gamma"] => one("post_attention_layernorm"),
                    other => unreachable!("a layer has no {other:?}"),
                }
            }
            other => unreachable!("a decoder has no {other:?}"),
        }
    }

    fn words(&self, ids: &[u32]) -> Tensor<2> {
        self.embed(ids)
    }

    fn begin(&self, words: Tensor<2>, _: &PackedBatch) -> Tensor<2> {
        words
    }

    fn layers(&self) -> usize {
        self.layers.len()
    }

    fn layer(&self, n: usize, x: Tensor<2>, batch: &PackedBatch) -> Tensor<2> {
        let packing = Packing::from_offsets(batch.cu_seqlens());
        let spec = self.shape.spec();
        self.layers[n].forward(x, |qkv| self.shape.attend(qkv, &packing, &spec))
    }

    const SEES_ALL: bool = false;

    fn keys(&self, n: usize, x: Tensor<2>) -> Tensor<2> {
        let layer = &self.layers[n];
        let Shape { heads, kv_heads, head_dim, .. } = self.shape;
        layer.qkv.forward_rows(layer.attention_norm.forward(x), heads * head_dim, 2 * kv_heads * head_dim)
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
        let Shape { heads, kv_heads, head_dim, .. } = self.shape;
        let [rows, slots] = [x.dims()[0], keys.dims()[0]];
        let q = layer.qkv.forward_rows(layer.attention_norm.forward(x.clone()), 0, heads * head_dim);
        let keys = keys.reshape([slots, 2 * kv_heads, head_dim]);
        let kv =
            Kv::new(keys.clone().narrow(1, 0, kv_heads), keys.narrow(1, kv_heads, kv_heads), keys_at.clone());
        let out = attention(q.reshape([rows, heads, head_dim]), at, kv, &self.shape.spec()).out;
        let x = layer.attention_out.forward(out.reshape([rows, heads * head_dim]), x);
        layer.mlp.forward(layer.mlp_norm.forward(x.clone()), x)
    }

    fn end(&self, x: Tensor<2>, rows: &[usize]) -> Tensor<2> {
        self.norm.forward(super::select(x, rows))
    }

    fn classify(&self, x: Tensor<2>, batch: &PackedBatch) -> Option<Tensor<2>> {
        let ends: Vec<usize> = batch.spans().map(|span| span.end - 1).collect();
        self.class_logits(self.end(x, &ends))
    }

    fn output(&self) -> Option<(Output, Matrix)> {
        let head = self.lm_head.as_ref()?;
        let (weight, precision) = (head.weight()?, head.precision());
        let name = if self.shape.tied { Self::WORDS } else { "lm_head.weight" };
        Some((Output { weight: name, bias: None }, Matrix { weight, bias: None, precision }))
    }
}
