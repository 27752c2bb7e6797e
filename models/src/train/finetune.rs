//! Fine-tuning a checkpoint to classify sequences.

mod start;

use super::adamw::{Moments, clip};
use super::lora::{Adapter, Lora};
use super::metrics::{Metrics, measure};
use super::recipe::OptimizerRecipe;
use super::schedule::{Plateau, Schedule, Shape};
use super::{Error, Network, Parameters, gradient, order};
use crate::checkpoint::{CONFIG, Checkpoint, Precision, write_safetensors};
use crate::family::dnabert2::DnaBert2;
use crate::family::generator::Generator;
use crate::family::{Family, detect};
use crate::run::kmers::law;
use burn::tensor::Device;
use kilobase_data::batch::PackedBatch;
use rand::seq::SliceRandom;
use serde::Serialize;
use start::Start;
use std::path::Path;

/// How a classifier is trained.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How weights change.
    pub optimizer: OptimizerRecipe,
    /// How the learning rate goes.
    pub shape: Shape,
    /// Steps over which it rises.
    pub warmup: u64,
    /// Passes over the training set.
    pub epochs: u64,
    /// Steps at most; 0 for as many as the epochs have.
    pub max_steps: u64,
    /// Sequences of a step.
    pub batch: usize,
    /// Steps between measurements on the development set; 0 for once an epoch.
    pub every: u64,
    /// Measurements without a better loss after which training ends; 0 for never.
    pub patience: u64,
    /// Low-rank factors in place of all weights.
    pub lora: Option<Lora>,
    /// Of everything random.
    pub seed: u64,
}

/// Sequences as tokens, with their classes.
#[derive(Clone, Debug, Default)]
pub struct Labelled {
    /// Ids of each sequence.
    pub ids: Vec<Vec<u32>>,
    /// The class of each.
    pub labels: Vec<usize>,
}

/// What fine-tuning tells while it goes on.
#[derive(Clone, Debug, Serialize)]
pub struct Progress {
    /// Steps that are done.
    pub step: u64,
    /// Steps in all.
    pub steps: u64,
    /// The last step's loss.
    pub loss: f64,
    /// A measurement on the development set, if one was due.
    pub dev: Option<Metrics>,
}

/// What fine-tuning ends with.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The step whose weights are kept: the one with the lowest loss on the development set.
    pub best_step: u64,
    /// Steps that were taken.
    pub steps: u64,
    /// Its measures.
    pub dev: Metrics,
    /// Numbers that were trained.
    pub trained: usize,
    /// Numbers of the model.
    pub parameters: usize,
}

/// Trains `checkpoint` to tell `classes` apart and writes the best weights into `folder`, which must exist, as a Hugging Face
/// directory without its tokenizer; with low-rank factors also those, in `adapter/`, as PEFT does.
///
/// `name` stands for the checkpoint in the adapter's file; `max_tokens` is written for who predicts.
///
/// # Panics
/// If there are no sequences, or not one class each.
#[allow(clippy::too_many_arguments, reason = "each is one thing that a user names")]
pub fn finetune(
    checkpoint: Checkpoint,
    name: &str,
    classes: &[String],
    max_tokens: Option<usize>,
    train: &Labelled,
    dev: &Labelled,
    settings: &Settings,
    device: &Device,
    folder: &Path,
    tell: &mut dyn FnMut(&Progress),
) -> Result<Outcome, Error> {
    let family = detect(&checkpoint)?;
    let start = Start::new(checkpoint, family, classes, max_tokens, settings.seed)?;
    let job = Job { name, classes: classes.len(), train, dev, settings, folder };
    let autodiff = device.clone().autodiff();
    match family {
        Family::DnaBert2 => {
            job.run(&DnaBert2::open(start.checkpoint()?, &autodiff, crate::nn::Precision::F32)?, &start, tell)
        }
        Family::Generator => job.run(
            &Generator::open(start.checkpoint()?, &autodiff, crate::nn::Precision::F32)?,
            &start,
            tell,
        ),
    }
}

struct Job<'a> {
    name: &'a str,
    classes: usize,
    train: &'a Labelled,
    dev: &'a Labelled,
    settings: &'a Settings,
    folder: &'a Path,
}

impl Job<'_> {
    fn run<N: Network>(
        &self,
        network: &N,
        start: &Start,
        tell: &mut dyn FnMut(&Progress),
    ) -> Result<Outcome, Error> {
        let settings = self.settings;
        let mut network = network.clone();
        let mut weights = Parameters::of(&network);
        let mut gradients = weights.zeros();
        let mut adapter = settings
            .lora
            .clone()
            .map(|lora| {
                Adapter::new(
                    lora,
                    &weights,
                    |name| N::HEAD.iter().any(|head| name.starts_with(head)),
                    settings.seed,
                )
            })
            .transpose()?;
        let mut moments = Moments::new(adapter.as_ref().map_or(&weights, |adapter| &adapter.trained));
        let an_epoch = self.train.ids.len().div_ceil(settings.batch) as u64;
        let steps = settings.epochs * an_epoch;
        let steps = if settings.max_steps > 0 { steps.min(settings.max_steps) } else { steps };
        let every = if settings.every > 0 { settings.every } else { an_epoch };
        let warmup = settings.warmup.min(steps);
        let schedule =
            Schedule { steps, shape: settings.shape, warmup, floor: 0.0, patience: 1, factor: 0.5 };
        let mut plateau = Plateau::default();
        let (mut best, mut waited, mut step) = (None::<(u64, Metrics, Parameters, Option<Adapter>)>, 0, 0);
        'epochs: for epoch in 0.. {
            let mut order: Vec<usize> = (0..self.train.ids.len()).collect();
            order.shuffle(&mut order::stream(settings.seed, 5, epoch));
            for rows in order.chunks(settings.batch) {
                if step == steps {
                    break 'epochs;
                }
                step += 1;
                let (batch, labels) = Self::batch(self.train, rows);
                gradients.clear();
                let (loss, _) = gradient::classify(&network, &batch, &labels, Some(&mut gradients));
                let of_trained = adapter.as_ref().map(|adapter| adapter.gradients(&gradients));
                let own = of_trained.as_ref().unwrap_or(&gradients);
                let norm = own.norm();
                for (what, value) in [("the loss", loss), ("the norm of the gradients", norm)] {
                    if !value.is_finite() {
                        return Err(Error::NotFinite { step, what, value, kept: None });
                    }
                }
                let clipped = clip(norm, (settings.optimizer.clip > 0.0).then_some(settings.optimizer.clip));
                let rate = settings.optimizer.learning_rate * schedule.share(step, &plateau);
                let trained = adapter.as_mut().map_or(&mut weights, |adapter| &mut adapter.trained);
                settings.optimizer.adamw().step(step, rate, trained, own, clipped, &mut moments);
                if let Some(adapter) = &adapter {
                    adapter.merge(&mut weights);
                }
                network = weights.put(network);
                let due = step == steps || step.is_multiple_of(every);
                let measured = due.then(|| self.measure(&network));
                tell(&Progress { step, steps, loss, dev: measured.clone() });
                let Some(measured) = measured else { continue };
                schedule.observe(measured.loss, &mut plateau);
                if best.as_ref().is_none_or(|(_, best, _, _)| measured.loss < best.loss) {
                    best = Some((step, measured, weights.clone(), adapter.clone()));
                    waited = 0;
                } else {
                    waited += 1;
                    if settings.patience > 0 && waited >= settings.patience {
                        break 'epochs;
                    }
                }
            }
        }
        let (best_step, dev, weights, adapter) = best.expect("the last step is measured");
        let trained = adapter.as_ref().map_or(weights.len(), |adapter| adapter.trained.len());
        let config = serde_json::to_vec_pretty(start.config()).expect("JSON is always JSON");
        std::fs::write(self.folder.join(CONFIG), config).map_err(Error::io(self.folder.join(CONFIG)))?;
        write_safetensors(&self.folder.join("model.safetensors"), weights.tensors(""), Precision::F32)?;
        if let Some(adapter) = adapter {
            let folder = self.folder.join("adapter");
            std::fs::create_dir(&folder).map_err(Error::io(&folder))?;
            adapter.write(&folder, self.name)?;
        }
        Ok(Outcome { best_step, steps: step, dev, trained, parameters: weights.len() })
    }

    fn batch(from: &Labelled, rows: &[usize]) -> (PackedBatch, Vec<usize>) {
        let mut batch = PackedBatch::default();
        for &row in rows {
            batch.push(&from.ids[row], None).expect("no types");
        }
        (batch, rows.iter().map(|&row| from.labels[row]).collect())
    }

    fn measure<N: Network>(&self, network: &N) -> Metrics {
        let plain = network.valid();
        let rows: Vec<usize> = (0..self.dev.ids.len()).collect();
        let mut laws = Vec::new();
        for rows in rows.chunks(self.settings.batch.max(64)) {
            let (batch, labels) = Self::batch(self.dev, rows);
            let (_, logits) = gradient::classify(&plain, &batch, &labels, None);
            laws.extend(logits.chunks_exact(self.classes).flat_map(law));
        }
        measure(&laws, &self.dev.labels, self.classes)
    }
}
