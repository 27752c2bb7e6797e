//! Embeddings, attention, block, encoder, heads.

mod training;

use super::Config;
use crate::attention::{AttnSpec, Packing, PosRule, alibi, attention_of_rows};
use crate::checkpoint::{self, Weights};
use crate::nn::{Activation, GatedMlp, Linear, LinearResidual, Precision, Tensors};
use burn::module::{Module, Param};
use burn::nn::LayerNorm;
use burn::tensor::activation::gelu;
use burn::tensor::{Device, Int, Tensor, TensorData};
use kilobase_data::batch::PackedBatch;

#[derive(Module, Debug)]
struct Layer {
    wqkv: Linear,
    attention_out: LinearResidual,
    mlp: GatedMlp,
}

impl Layer {
    /// `[tokens, hidden] -> [tokens, hidden]`
    fn forward(&self, x: Tensor<2>, packing: &Packing, heads: usize, spec: &AttnSpec) -> Tensor<2> {
        let dim = x.dims()[1] / heads;
        let attended = attention_of_rows(self.wqkv.forward(x.clone()), [heads, heads, dim], packing, spec);
        let x = self.attention_out.forward(attended, x);
        self.mlp.forward(x.clone(), x)
    }
}

/// The masked-language-model head; its output matrix is the word embedding.
#[derive(Module, Debug)]
pub struct Mlm {
    transform: Linear,
    norm: LayerNorm,
    decoder_bias: Param<Tensor<1>>,
}

/// Pooler and classifier, present after fine-tuning only.
#[derive(Module, Debug)]
pub struct Head {
    pooler: Linear,
    classifier: Option<Linear>,
}

/// A DNABERT-2 encoder with the heads its checkpoint holds.
#[derive(Module, Debug)]
pub struct DnaBert2 {
    word_embeddings: Param<Tensor<2>>,
    token_type_embeddings: Param<Tensor<2>>,
    norm: LayerNorm,
    layers: Vec<Layer>,
    mlm: Option<Mlm>,
    head: Option<Head>,
    heads: usize,
    #[module(skip)]
    precision: Precision,
}

impl DnaBert2 {
    /// Puts weights that [`super::matched`] has checked on a device.
    ///
    /// # Panics
    /// As [`Tensors::new`].
    pub fn load(
        config: &Config,
        weights: &Weights,
        device: &Device,
        precision: Precision,
    ) -> Result<Self, checkpoint::Error> {
        let (h, i, eps) = (config.hidden_size, config.intermediate_size, config.layer_norm_eps);
        let t = Tensors::new(weights, device, precision);
        let mut layers = Vec::with_capacity(config.num_hidden_layers);
        let word_embeddings = t.param("bert.embeddings.word_embeddings.weight", [config.vocab_size, h])?;
        let token_type_embeddings =
            t.param("bert.embeddings.token_type_embeddings.weight", [config.type_vocab_size, h])?;
        let norm = t.layer_norm("bert.embeddings.LayerNorm", h, eps)?;
        for n in 0..config.num_hidden_layers {
            let name = |part: &str| format!("bert.encoder.layer.{n}.{part}");
            layers.push(Layer {
                wqkv: t.linear(&name("attention.self.Wqkv"), 3 * h, h, true)?,
                attention_out: t.linear_norm(
                    &name("attention.output.dense"),
                    &name("attention.output.LayerNorm"),
                    h,
                    h,
                    eps,
                )?,
                mlp: t.gated_mlp(
                    [&name("mlp.gated_layers"), &name("mlp.wo"), &name("mlp.layernorm")],
                    h,
                    i,
                    Activation::Gelu,
                    eps,
                )?,
            });
        }
        let mlm = if weights.contains("cls.predictions.transform.dense.weight") {
            Some(Mlm {
                transform: t.linear("cls.predictions.transform.dense", h, h, true)?,
                // The reference hard-codes this epsilon.
                norm: t.layer_norm("cls.predictions.transform.LayerNorm", h, 1e-12)?,
                decoder_bias: t.param("cls.predictions.decoder.bias", [config.vocab_size])?,
            })
        } else {
            None
        };
        let labels = weights.shape("classifier.weight").ok().map(|shape| shape[0]);
        let head = if weights.contains("bert.pooler.dense.weight") {
            Some(Head {
                pooler: t.linear("bert.pooler.dense", h, h, true)?,
                classifier: labels.map(|n| t.linear("classifier", n, h, true)).transpose()?,
            })
        } else {
            None
        };
        let heads = config.num_attention_heads;
        let precision = t.attention_precision();
        Ok(Self { word_embeddings, token_type_embeddings, norm, layers, mlm, head, heads, precision })
    }

    /// Bytes of the weights as they are held.
    pub fn weight_bytes(&self) -> usize {
        let layer = |Layer { wqkv, attention_out, mlp }: &Layer| {
            wqkv.packed_bytes() + attention_out.packed_bytes() + mlp.packed_bytes()
        };
        let mlm = self.mlm.as_ref().map_or(0, |mlm| mlm.transform.packed_bytes());
        let head = self.head.as_ref().map_or(0, |Head { pooler, classifier }| {
            pooler.packed_bytes() + classifier.as_ref().map_or(0, Linear::packed_bytes)
        });
        self.num_params() * size_of::<f32>() + self.layers.iter().map(layer).sum::<usize>() + mlm + head
    }

    /// The device the weights are on.
    pub fn device(&self) -> Device {
        self.word_embeddings.val().device()
    }

    /// Whether the layers' weights are packed for our kernels.
    pub fn is_packed(&self) -> bool {
        self.layers.iter().all(|layer| layer.wqkv.is_packed())
    }

    /// What the operands of products are rounded to.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Width of a token's state.
    pub fn hidden_size(&self) -> usize {
        self.word_embeddings.val().dims()[1]
    }

    /// Number of layers; states are numbered `0..=layers`, 0 being the embeddings.
    pub fn layers(&self) -> usize {
        self.layers.len()
    }

    /// States of all tokens, `[tokens, hidden]`, after the embeddings and after each layer up to `last`.
    ///
    /// `visit` is given the number of the state and the state; states it does not keep are freed.
    pub fn states(&self, batch: &PackedBatch, last: usize, mut visit: impl FnMut(usize, Tensor<2>)) {
        let device = self.device();
        let words = self.word_embeddings.val().select(0, integers(batch.ids(), &device));
        let mut x = self.embedded(words, batch);
        let packing = Packing::from_offsets(batch.cu_seqlens());
        let spec = self.spec();
        visit(0, x.clone());
        for (n, layer) in self.layers.iter().enumerate().take(last) {
            x = layer.forward(x, &packing, self.heads, &spec);
            visit(n + 1, x.clone());
        }
    }

    /// State 0 from the rows of the word embedding.
    fn embedded(&self, words: Tensor<2>, batch: &PackedBatch) -> Tensor<2> {
        let types = match batch.type_ids() {
            Some(types) => self.token_type_embeddings.val().select(0, integers(types, &self.device())),
            None => self.token_type_embeddings.val().narrow(0, 0, 1), // [1, hidden], broadcast
        };
        self.norm.forward(words + types)
    }

    fn spec(&self) -> AttnSpec {
        let head_dim = self.hidden_size() / self.heads;
        AttnSpec {
            pos: PosRule::Alibi { slopes: alibi::slopes(self.heads).into(), cap: None },
            precision: self.precision,
            ..AttnSpec::new(1.0 / (head_dim as f32).sqrt())
        }
    }

    /// The state after layer `layer` (0: the embeddings), `[tokens, hidden]`.
    pub fn state(&self, batch: &PackedBatch, layer: usize) -> Tensor<2> {
        let mut state = None;
        self.states(batch, layer, |n, x| {
            if n == layer {
                state = Some(x);
            }
        });
        state.expect("a layer that the model has")
    }

    /// Logits of the masked-language-model head for chosen rows of the last state, `[rows, vocab]`; `None` if
    /// the checkpoint has no such head.
    pub fn mlm_logits(&self, last_state: &Tensor<2>, rows: &[usize]) -> Option<Tensor<2>> {
        let mlm = self.mlm.as_ref()?;
        let chosen = last_state.clone().select(0, indices(rows, &self.device()));
        let x = mlm.norm.forward(gelu(mlm.transform.forward(chosen)));
        Some(x.matmul(self.word_embeddings.val().transpose()) + mlm.decoder_bias.val().unsqueeze())
    }

    /// Whether the checkpoint holds a trained pooler.
    pub fn has_pooler(&self) -> bool {
        self.head.is_some()
    }

    /// `tanh(W h + b)` of each sequence's first token, `[sequences, hidden]`; `None` without a trained pooler
    /// (a base checkpoint holds none).
    pub fn pooled(&self, last_state: &Tensor<2>, batch: &PackedBatch) -> Option<Tensor<2>> {
        let head = self.head.as_ref()?;
        let firsts = &batch.cu_seqlens()[..batch.cu_seqlens().len() - 1];
        let first = last_state.clone().select(0, indices(firsts, &self.device()));
        Some(head.pooler.forward(first).tanh())
    }

    /// Class logits `[sequences, labels]` of a fine-tuned checkpoint.
    pub fn class_logits(&self, last_state: &Tensor<2>, batch: &PackedBatch) -> Option<Tensor<2>> {
        let classifier = self.head.as_ref()?.classifier.as_ref()?;
        Some(classifier.forward(self.pooled(last_state, batch)?))
    }
}

fn integers(values: &[u32], device: &Device) -> Tensor<1, Int> {
    let values: Vec<i32> = values.iter().map(|&v| v as i32).collect();
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), device)
}

fn indices(values: &[usize], device: &Device) -> Tensor<1, Int> {
    let values: Vec<i32> = values.iter().map(|&v| v as i32).collect();
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), device)
}
