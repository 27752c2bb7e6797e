//! Fine-tuning a checkpoint to tell classes of sequences apart, or to predict a value of them.
//!
//! A run lives in a folder of checkpoints ([`store`]); killed and opened again with the same job it goes on after the newest
//! one, with the bits of a run that was not.

mod run;
mod start;
mod state;

use super::lora::Lora;
use super::metrics::{Criterion, Metrics};
use super::recipe::{Compute, OptimizerRecipe};
use super::schedule::Shape;
use super::store::Store;
use super::{Error, Network, Targets, log, store};
use crate::checkpoint::Checkpoint;
use crate::family::dnabert2::DnaBert2;
use crate::family::generator::Generator;
use crate::family::{Family, detect};
use crate::nn::on_processor;
use crate::run::predict::task::Task;
use burn::tensor::Device;
use run::Run;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use start::Start;
use std::path::{Path, PathBuf};

/// What a finished model's folder says of how it was made.
pub const REPORT: &str = "finetune.json";

/// How a head, and what is below it, is trained.
#[derive(Clone, Debug, Serialize)]
pub struct Settings {
    /// What products are computed in.
    pub compute: Compute,
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
    /// By which measure of them the best weights are chosen.
    pub best_by: Criterion,
    /// Measurements that are not better after which training ends; 0 for never.
    pub patience: u64,
    /// Low-rank factors in place of all weights.
    pub lora: Option<Lora>,
    /// Of everything random.
    pub seed: u64,
    /// Steps between checkpoints beside those that each measurement makes; 0 for none. It decides no number.
    #[serde(skip)]
    pub save_every: u64,
}

/// Sequences as tokens, with what is asked of each: classes, or values in their own unit.
#[derive(Clone, Debug)]
pub struct Labelled {
    /// Ids of each sequence.
    pub ids: Vec<Vec<u32>>,
    /// Its class or value.
    pub targets: Targets,
}

/// All that a run is made of, but the checkpoint that it starts from.
#[derive(Clone, Debug)]
pub struct Job {
    /// Stands for the checkpoint in the adapter's file and in the report.
    pub name: String,
    /// What the head is to answer.
    pub task: Task,
    /// Tokens that were read of a sequence at most, for who predicts.
    pub max_tokens: Option<usize>,
    /// Sequences to train on.
    pub train: Labelled,
    /// Sequences by which the best weights are chosen.
    pub dev: Labelled,
    /// How it is trained.
    pub settings: Settings,
    /// Files of the tokenizer by their names, which go along with the model.
    pub files: Vec<(String, Vec<u8>)>,
    /// Further facts for the report, which decide no number.
    pub facts: serde_json::Map<String, Value>,
}

/// What fine-tuning tells while it goes on; a line of its log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Steps that are done.
    pub step: u64,
    /// Steps in all.
    pub steps: u64,
    /// The last step's loss: cross-entropy in nats, or the mean square error on the head's scale.
    pub loss: f64,
    /// A measurement on the development set, if one was due.
    pub dev: Option<Metrics>,
}

impl log::Numbered for Progress {
    fn step(&self) -> u64 {
        self.step
    }
}

/// What fine-tuning ends with.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The step whose weights are kept: the best one for the development set.
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

/// A run that is at work: its next steps do not depend on whether it was begun or gone on with.
pub trait Trainer {
    /// Steps that are done.
    fn done(&self) -> u64;

    /// Steps in all.
    fn steps(&self) -> u64;

    /// Whether all steps are done, or patience is at its end.
    fn is_over(&self) -> bool;

    /// Does a step, and what is due after it: measures, writes a checkpoint.
    fn step(&mut self) -> Result<Progress, Error>;

    /// Writes the best weights to a new folder on the same file system, as a Hugging Face directory with its tokenizer, log and
    /// report; with low-rank factors also those, in `adapter/`, as PEFT does. Then removes the folder of the run.
    ///
    /// # Panics
    /// If the run is not over.
    fn finish(self: Box<Self>, output: &Path) -> Result<Outcome, Error>;
}

/// Goes on with the run in a folder, or begins one: `checkpoint` with a new head. `report` is told what is worth knowing.
///
/// # Panics
/// If there are no sequences to train on or none to choose by, or not a target of the task for each.
pub fn open(
    checkpoint: Checkpoint,
    job: Job,
    folder: &Path,
    device: &Device,
    restart: bool,
    report: &mut dyn FnMut(String),
) -> Result<Box<dyn Trainer>, Error> {
    for labelled in [&job.train, &job.dev] {
        assert!(
            !labelled.ids.is_empty() && labelled.ids.len() == labelled.targets.len(),
            "a target for each"
        );
        let fits = matches!(
            (&job.task, &labelled.targets),
            (Task::Classes(_), Targets::Classes(_)) | (Task::Value(_), Targets::Values(_))
        );
        assert!(fits, "targets of the task");
    }
    if !job.settings.best_by.is_of(&job.task) {
        let reason = format!("{} is no measure of this task", job.settings.best_by.name());
        return Err(Error::recipe("best_by", reason));
    }
    if job.settings.compute != Compute::F32 && !on_processor(device) {
        return Err(Error::recipe("compute", "bf16 is for the processor; other devices compute in f32"));
    }
    let family = detect(&checkpoint)?;
    let plan = state::plan(&job, &checkpoint)?;
    let start = Start::new(checkpoint, family, &job.task, job.max_tokens, job.settings.seed)?;
    let is_new = !folder.exists();
    // The newest, and the best one.
    let store = Store::open(folder, 1)?;
    if restart {
        store.clear()?;
    }
    let newest = state::newest(&store, &plan, report)?;
    let device = device.clone().autodiff();
    let opened: Result<Box<dyn Trainer>, Error> = match family {
        Family::DnaBert2 => begin::<DnaBert2>(&start, &device, job, plan, store, newest),
        Family::Generator => begin::<Generator>(&start, &device, job, plan, store, newest),
    };
    if opened.is_err() && is_new {
        // It holds nothing that a run could go on from; the error is what matters.
        let _ = std::fs::remove_dir_all(folder);
    }
    opened
}

fn begin<N: Network + 'static>(
    start: &Start,
    device: &Device,
    job: Job,
    plan: Value,
    store: Store,
    newest: Option<(state::State, PathBuf)>,
) -> Result<Box<dyn Trainer>, Error> {
    let network = N::open(start.checkpoint()?, device, job.settings.compute.into())?;
    Ok(Box::new(Run::open(network, start, job, plan, store, newest)?))
}

/// Whether `unfinished` is what the run that made the model in `finished` had no time to remove.
pub fn is_left_over(unfinished: &Path, finished: &Path) -> bool {
    let plan = |path: PathBuf| Some(store::read_json::<Value>(&path).ok()?["plan"].take());
    let Some(made) = plan(finished.join(REPORT)) else { return false };
    let newest = store::checkpoints(unfinished).ok().map(|all| all.into_iter().next());
    // Checkpoints lose their names before anything is removed, so that those that are there are whole.
    newest.is_some_and(|newest| {
        newest.is_none_or(|(_, path)| plan(path.join(state::STATE)).is_some_and(|plan| plan == made))
    })
}
