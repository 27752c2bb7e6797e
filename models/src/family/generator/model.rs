//! Embeddings, block, decoder, heads; over whole sequences, or over a cache that grows.

mod training;

use super::Config;
use crate::attention::{AttnSpec, MaskRule, Packing, PosRule, Rotary, Selection, attention_of_rows};
use crate::cache::{self, CacheError, KvCache, PagePool, Pipeline, PolicyError, Store};
use crate::checkpoint::{self, Weights};
use crate::family::values;
use crate::nn::{Activation, GatedMlp, Linear, LinearResidual, Precision, RmsNorm, Tensors};
use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};
use kilobase_data::batch::PackedBatch;
use kilobase_kernels::attention::{Heads, KeyForm};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Arc;

#[derive(Module, Debug)]
struct Layer {
    attention_norm: RmsNorm,
    qkv: Linear,
    attention_out: LinearResidual,
    mlp_norm: RmsNorm,
    mlp: GatedMlp,
}

impl Layer {
    /// `[tokens, hidden] -> [tokens, hidden]`; `attend` turns queries, keys and values side by side into what attention
    /// makes of them, `[tokens, heads * head_dim]`.
    fn forward(&self, x: Tensor<2>, attend: impl FnOnce(Tensor<2>) -> Tensor<2>) -> Tensor<2> {
        let attended = attend(self.qkv.forward(self.attention_norm.forward(x.clone())));
        let x = self.attention_out.forward(attended, x);
        self.mlp.forward(self.mlp_norm.forward(x.clone()), x)
    }
}

/// A Llama decoder with the heads its checkpoint holds.
#[derive(Module, Debug)]
pub struct Generator {
    embed_tokens: Param<Tensor<2>>,
    layers: Vec<Layer>,
    norm: RmsNorm,
    lm_head: Option<Linear>,
    score: Option<Linear>,
    #[module(skip)]
    shape: Shape,
}

/// What attention needs to know.
#[derive(Clone, Debug)]
struct Shape {
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    rotary: Arc<Rotary>,
    /// Of attention.
    precision: Precision,
    /// Whether the output matrix is the embedding.
    tied: bool,
}

/// What a step over caches computed: the states after the last normalisation of all new rows, `[rows, hidden]`.
pub type Extended = Result<Tensor<2>, CacheError>;

impl Generator {
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
        let (h, i, v, eps) =
            (config.hidden_size, config.intermediate_size, config.vocab_size, config.rms_norm_eps);
        let (q, kv) =
            (config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim);
        let t = Tensors::new(weights, device, precision);
        let mut layers = Vec::with_capacity(config.num_hidden_layers);
        for n in 0..config.num_hidden_layers {
            let name = |part: &str| format!("model.layers.{n}.{part}");
            let [q_proj, k_proj, v_proj] =
                ["q", "k", "v"].map(|part| name(&format!("self_attn.{part}_proj")));
            layers.push(Layer {
                attention_norm: t.rms_norm(&name("input_layernorm"), h, eps)?,
                qkv: t.linears([&q_proj, &k_proj, &v_proj], [q, kv, kv], h)?,
                attention_out: t.linear_residual(&name("self_attn.o_proj"), h, q)?,
                mlp_norm: t.rms_norm(&name("post_attention_layernorm"), h, eps)?,
                mlp: t.gated_residual(
                    [&name("mlp.gate_proj"), &name("mlp.up_proj"), &name("mlp.down_proj")],
                    h,
                    i,
                    Activation::Silu,
                )?,
            });
        }
        let words = "model.embed_tokens";
        let head = if config.tie_word_embeddings { words } else { "lm_head" };
        let has_head = weights.contains(&format!("{head}.weight"));
        let labels = weights.shape("score.weight").ok().map(|shape| shape[0]);
        Ok(Self {
            embed_tokens: t.param(&format!("{words}.weight"), [v, h])?,
            layers,
            norm: t.rms_norm("model.norm", h, eps)?,
            lm_head: has_head.then(|| t.linear(head, v, h, false)).transpose()?,
            score: labels.map(|n| t.linear("score", n, h, false)).transpose()?,
            shape: Shape {
                heads: config.num_attention_heads,
                kv_heads: config.num_key_value_heads,
                head_dim: config.head_dim,
                rotary: Arc::new(config.rotary(config.max_position_embeddings)),
                precision: t.attention_precision(),
                tied: config.tie_word_embeddings,
            },
        })
    }

    /// The device the weights are on.
    pub fn device(&self) -> Device {
        self.embed_tokens.val().device()
    }

    /// Whether the layers' weights are packed for our kernels.
    pub fn is_packed(&self) -> bool {
        self.layers.iter().all(|layer| layer.qkv.is_packed())
    }

    /// Bytes of the weights as they are held.
    pub fn weight_bytes(&self) -> usize {
        let layer = |layer: &Layer| {
            let Layer { attention_norm, qkv, attention_out, mlp_norm, mlp } = layer;
            let norms = attention_norm.packed_bytes() + mlp_norm.packed_bytes();
            norms + qkv.packed_bytes() + attention_out.packed_bytes() + mlp.packed_bytes()
        };
        let heads = [&self.lm_head, &self.score].into_iter().flatten().map(Linear::packed_bytes);
        self.num_params() * size_of::<f32>()
            + self.layers.iter().map(layer).sum::<usize>()
            + self.norm.packed_bytes()
            + heads.sum::<usize>()
    }

    /// What the operands of products are rounded to.
    pub fn precision(&self) -> Precision {
        self.shape.precision
    }

    /// Whether the checkpoint has the output matrix that scoring and generating need.
    pub fn has_head(&self) -> bool {
        self.lm_head.is_some()
    }

    /// Number of layers; states are numbered `0..=layers`, 0 being the embeddings.
    pub fn layers(&self) -> usize {
        self.layers.len()
    }

    /// States of all tokens, `[tokens, hidden]`: the embeddings, after each layer but the last, and after the last layer
    /// and the last normalisation.
    ///
    /// `visit` is given the number of the state and the state; states it does not keep are freed. Work ends with state
    /// `last`.
    pub fn states(&self, batch: &PackedBatch, last: usize, mut visit: impl FnMut(usize, Tensor<2>)) {
        let packing = Packing::from_offsets(batch.cu_seqlens());
        let spec = self.shape.spec();
        let mut x = self.embed(batch.ids());
        visit(0, x.clone());
        for (n, layer) in self.layers.iter().enumerate().take(last) {
            x = layer.forward(x, |qkv| self.shape.attend(qkv, &packing, &spec));
            let state = if n + 1 == self.layers.len() { self.norm.forward(x.clone()) } else { x.clone() };
            visit(n + 1, state);
        }
    }

    /// One of the [`Self::states`].
    ///
    /// # Panics
    /// If there is no such layer.
    pub fn state(&self, batch: &PackedBatch, layer: usize) -> Tensor<2> {
        let mut state = None;
        self.states(batch, layer, |n, x| {
            if n == layer {
                state = Some(x);
            }
        });
        state.expect("a layer that the model has")
    }

    /// The last state `[1, hidden]` of the last column of a sequence that is padded on the right to `columns` with the token
    /// `pad`, which queries see and which is no key: what a reference that looks for another padding id than its rows have
    /// takes for the end of the sequence. Positions are those of the columns.
    ///
    /// # Panics
    /// If there are more tokens than columns, or none.
    pub fn padded_state(&self, tokens: &[u32], pad: u32, columns: usize) -> Tensor<2> {
        assert!((1..=columns).contains(&tokens.len()), "{} tokens in {columns} columns", tokens.len());
        let (mut ids, mut positions) = (tokens.to_vec(), (0..tokens.len() as u32).collect::<Vec<_>>());
        if tokens.len() < columns {
            ids.push(pad);
            positions.push(columns as u32 - 1);
        }
        let rows = ids.len();
        let packing = Packing::from_offsets(&[0, rows]).with_positions(&positions);
        let list = vec![vec![Range { start: 0, end: tokens.len() }]];
        let selection = Selection { query_block: rows, slots: vec![list; self.shape.kv_heads] };
        let spec = AttnSpec { mask: MaskRule::Slots(Arc::new(selection)), ..self.shape.spec() };
        let mut x = self.embed(&ids);
        for layer in &self.layers {
            x = layer.forward(x, |qkv| self.shape.attend(qkv, &packing, &spec));
        }
        self.norm.forward(x.narrow(0, rows - 1, 1))
    }

    /// An empty cache for one sequence. `name` says which weights it is for.
    pub fn cache(
        &self,
        pool: &PagePool,
        policy: Pipeline,
        store: Store,
        name: &str,
    ) -> Result<KvCache, PolicyError> {
        let Shape { heads, kv_heads, head_dim, rotary, .. } = &self.shape;
        let config = cache::Config {
            model: name.to_owned(),
            layers: self.layers.len(),
            query_heads: *heads,
            kv_heads: *kv_heads,
            key_dim: *head_dim,
            value_dim: *head_dim,
            store,
            rotary: (policy.key_form() != Some(KeyForm::Raw)).then(|| rotary.clone()),
            causal: true,
        };
        KvCache::new(config, pool, policy)
    }

    /// Appends tokens to sequences, each with its cache, and returns the last states `[rows, hidden]` of the new tokens, one
    /// sequence after the other. After an error the caches are of no use (see [`KvCache`]).
    ///
    /// # Panics
    /// If there are not as many lists of tokens as caches, or a cache is of another shape.
    pub fn extend(&self, caches: &mut [KvCache], tokens: &[&[u32]]) -> Extended {
        let ends = caches.iter().zip(tokens);
        let positions: Vec<Vec<u32>> =
            ends.map(|(cache, tokens)| (cache.length()..).take(tokens.len()).collect()).collect();
        self.extend_at(caches, tokens, &positions)
    }

    /// As [`Self::extend`], for tokens at ascending positions that the caches do not have: their ends, or what
    /// [`KvCache::edit`] has left open. A token reads what is before it, keys and values of the same call included.
    ///
    /// # Panics
    /// As [`Self::extend`]; or if there are not as many positions as tokens.
    pub fn extend_at(&self, caches: &mut [KvCache], tokens: &[&[u32]], positions: &[Vec<u32>]) -> Extended {
        assert_eq!(caches.len(), tokens.len(), "tokens for each cache");
        let lengths = |of: usize| (tokens[of].len(), positions[of].len());
        assert!(
            positions.len() == tokens.len() && (0..tokens.len()).all(|of| lengths(of).0 == lengths(of).1),
            "a position for each token"
        );
        let spec = self.shape.spec();
        let mut x = self.embed(&tokens.concat());
        for (n, layer) in self.layers.iter().enumerate() {
            let mut result = Ok(());
            x = layer.forward(x, |qkv| {
                let (out, outcome) = self.shape.attend_cached(n, qkv, caches, positions, &spec);
                result = outcome;
                out
            });
            result?;
        }
        Ok(self.norm.forward(x))
    }

    /// As [`Self::extend`] in chunks of at most `chunk` tokens a sequence, and then the logits after the last token of each
    /// sequence, `[sequences, vocab]` on the host; `None` if the checkpoint has no output matrix.
    ///
    /// # Panics
    /// As [`Self::extend`]; or if a list is empty or the lists are of several lengths.
    pub fn next_logits(
        &self,
        caches: &mut [KvCache],
        tokens: &[&[u32]],
        chunk: usize,
    ) -> Result<Option<Vec<f32>>, CacheError> {
        let length = tokens.first().map_or(0, |tokens| tokens.len());
        assert!(length > 0 && tokens.iter().all(|tokens| tokens.len() == length), "lists of one length");
        let mut start = 0;
        loop {
            let end = (start + chunk.max(1)).min(length);
            let part: Vec<&[u32]> = tokens.iter().map(|tokens| &tokens[start..end]).collect();
            let states = self.extend(caches, &part)?;
            if end == length {
                let lasts: Vec<i32> = (1..=tokens.len()).map(|s| (s * (end - start)) as i32 - 1).collect();
                let lasts = Tensor::from_ints(lasts.as_slice(), &self.device());
                return Ok(self.logits(states.select(0, lasts)).map(values));
            }
            start = end;
        }
    }

    /// Logits `[rows, vocab]` of last states; `None` if the checkpoint has no output matrix.
    pub fn logits(&self, states: Tensor<2>) -> Option<Tensor<2>> {
        Some(self.lm_head.as_ref()?.forward(states))
    }

    /// Class logits `[rows, labels]` of last states; `None` unless the checkpoint was fine-tuned for classes. A sequence's
    /// class is read at its last token.
    pub fn class_logits(&self, states: Tensor<2>) -> Option<Tensor<2>> {
        Some(self.score.as_ref()?.forward(states))
    }

    fn embed(&self, ids: &[u32]) -> Tensor<2> {
        let ids: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
        let count = ids.len();
        let ids = Tensor::<1, Int>::from_data(TensorData::new(ids, [count]), &self.device());
        self.embed_tokens.val().select(0, ids)
    }
}

/// Rows of a tensor, in the order given.
fn select(x: Tensor<2>, rows: &[usize]) -> Tensor<2> {
    let rows: Vec<i32> = rows.iter().map(|&row| row as i32).collect();
    let count = rows.len();
    let device = x.device();
    x.select(0, Tensor::<1, Int>::from_data(TensorData::new(rows, [count]), &device))
}

impl Shape {
    fn spec(&self) -> AttnSpec {
        let pos = PosRule::Rope { rotary: self.rotary.clone(), cap: None };
        let scale = (self.head_dim as f32).sqrt().recip();
        AttnSpec { causal: true, pos, precision: self.precision, ..AttnSpec::new(scale) }
    }

    /// Over whole sequences.
    fn attend(&self, qkv: Tensor<2>, packing: &Packing, spec: &AttnSpec) -> Tensor<2> {
        attention_of_rows(qkv, [self.heads, self.kv_heads, self.head_dim], packing, spec)
    }

    /// Over caches, to which the rows are appended. The caches are on the processor whatever device computes the rest.
    fn attend_cached(
        &self,
        layer: usize,
        qkv: Tensor<2>,
        caches: &mut [KvCache],
        positions: &[Vec<u32>],
        spec: &AttnSpec,
    ) -> (Tensor<2>, Result<(), CacheError>) {
        let Self { heads, kv_heads, head_dim, .. } = *self;
        let (rows, device) = (qkv.dims()[0], qkv.device());
        let width = (heads + 2 * kv_heads) * head_dim;
        let qkv = values(qkv);
        let mut out = vec![0.0; rows * heads * head_dim];
        let mut jobs = Vec::with_capacity(caches.len());
        let (mut inputs, mut outputs) = (&qkv[..], &mut out[..]);
        for (cache, positions) in caches.iter_mut().zip(positions) {
            let (input, rest) = inputs.split_at(positions.len() * width);
            let (output, others) = outputs.split_at_mut(positions.len() * heads * head_dim);
            (inputs, outputs) = (rest, others);
            jobs.push((cache, positions, input, output));
        }
        let outcome = jobs.into_par_iter().try_for_each(|(cache, positions, input, output)| {
            let part = |first: usize, heads: usize| Heads {
                data: input.get(first * head_dim..).unwrap_or_default(),
                rows: positions.len(),
                heads,
                dim: head_dim,
                row_stride: width,
                head_stride: head_dim,
            };
            let (q, k, v) = (part(0, heads), part(heads, kv_heads), part(heads + kv_heads, kv_heads));
            let mut lse = vec![0.0; positions.len() * heads];
            cache.attend(layer, q, k, v, positions, spec, output, &mut lse)
        });
        let out = Tensor::from_data(TensorData::new(out, [rows, heads * head_dim]), &device);
        (out, outcome)
    }
}
