//! What a checkpoint of fine-tuning says beside its numbers.

use super::{Job, Labelled};
use crate::checkpoint::Checkpoint;
use crate::run::predict::task::Task;
use crate::train::metrics::{Criterion, Metrics};
use crate::train::schedule::{Plateau, Schedule};
use crate::train::store::{self, Exact, Store, check_same};
use crate::train::{Error, Targets};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::PathBuf;

/// The file of a checkpoint.
pub(super) const STATE: &str = "training.json";
/// Steps of the mean that tells whether training diverges.
pub(super) const WINDOW: usize = 20;
/// A mean loss so many times as high as the first one, and as that of guessing, is divergence.
const EXPLODED: f64 = 2.0;
/// What decides the numbers of a run.
const DECIDES: [&str; 7] = ["start_sha256", "config", "tokenizer", "task", "train", "dev", "settings"];

/// Where a run is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    /// Steps that are done.
    pub(super) step: u64,
    /// The best measurement so far.
    pub(super) best: Option<Best>,
    /// Measurements since then.
    pub(super) waited: u64,
    /// The newest losses, each with what guessing takes at the same sequences.
    recent: Vec<[Exact; 2]>,
    /// The mean of the first so many losses.
    begun: Option<Exact>,
    plateau_best: Option<Exact>,
    plateau_waited: u64,
    plateau_share: Exact,
    /// All that decides the numbers.
    pub(super) plan: Value,
}

/// A measurement on the development set.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Best {
    /// After which step.
    pub(super) step: u64,
    /// What it was chosen by, more being better; none where that was not defined.
    value: Option<Exact>,
    /// All measures.
    pub(super) metrics: Metrics,
}

impl State {
    /// The beginning.
    pub(super) fn new(plan: Value) -> Self {
        Self {
            step: 0,
            best: None,
            waited: 0,
            recent: Vec::new(),
            begun: None,
            plateau_best: None,
            plateau_waited: 0,
            plateau_share: Exact(1.0),
            plan,
        }
    }

    pub(super) fn plateau(&self) -> Plateau {
        let best = self.plateau_best.map(|best| best.0);
        Plateau { best, waited: self.plateau_waited, share: self.plateau_share.0 }
    }

    /// Tells of a step's loss and what guessing takes at its sequences. Returns their means, and that of the first losses, if
    /// training diverges.
    pub(super) fn observe_loss(&mut self, loss: f64, guessed: f64) -> Option<[f64; 3]> {
        self.recent.push([Exact(loss), Exact(guessed)]);
        if self.recent.len() < WINDOW {
            return None;
        }
        let mean = |n: usize| self.recent.iter().map(|of| of[n].0).sum::<f64>() / WINDOW as f64;
        let (mean, guessed) = (mean(0), mean(1));
        self.recent.remove(0);
        let begun = self.begun.get_or_insert(Exact(mean)).0;
        (mean > EXPLODED * begun.max(guessed)).then_some([mean, guessed, begun])
    }

    /// Tells of a measurement. Returns whether it is the best one so far.
    pub(super) fn observe(
        &mut self,
        loss: f64,
        metrics: &Metrics,
        by: Criterion,
        schedule: &Schedule,
    ) -> bool {
        let mut plateau = self.plateau();
        schedule.observe(loss, &mut plateau);
        self.plateau_best = plateau.best.map(Exact);
        self.plateau_waited = plateau.waited;
        self.plateau_share = Exact(plateau.share);
        let value = by.value(metrics);
        // One that is not defined is better than nothing only.
        let better = match (&self.best, value) {
            (None, _) => true,
            (Some(best), Some(value)) => best.value.is_none_or(|best| value > best.0),
            (Some(_), None) => false,
        };
        if better {
            self.best = Some(Best { step: self.step, value: value.map(Exact), metrics: metrics.clone() });
        }
        self.waited = if better { 0 } else { self.waited + 1 };
        better
    }
}

/// The newest checkpoint that can be gone on from; one of another run is an error.
pub(super) fn newest(
    store: &Store,
    plan: &Value,
    report: &mut dyn FnMut(String),
) -> Result<Option<(State, PathBuf)>, Error> {
    for (step, path) in store.checkpoints()? {
        let whole = store::read_json::<State>(&path.join(STATE)).and_then(|state| {
            check_same(&path, &state.plan, plan, &DECIDES)?;
            Checkpoint::open(&path)?;
            if let Some(best) = &state.best {
                Checkpoint::open(&store.checkpoint(best.step))?;
            }
            Ok(state)
        });
        match whole {
            Ok(state) => {
                report(format!("going on after step {step} of {}", path.display()));
                return Ok(Some((state, path)));
            }
            Err(other @ Error::OtherRun { .. }) => return Err(other),
            Err(error) => report(format!("leaving out a checkpoint that cannot be read: {error}")),
        }
    }
    Ok(None)
}

/// All that decides the numbers of a run. Files count by what is in them.
pub(super) fn plan(job: &Job, checkpoint: &Checkpoint) -> Result<Value, Error> {
    let task = match &job.task {
        Task::Classes(classes) => json!({ "classes": classes, "max_tokens": job.max_tokens }),
        Task::Value(_) => json!({ "regression": true, "max_tokens": job.max_tokens }),
    };
    let tokenizer: serde_json::Map<String, Value> = job
        .files
        .iter()
        .map(|(name, bytes)| (name.clone(), hex::encode(Sha256::digest(bytes)).into()))
        .collect();
    Ok(json!({
        "kilobase": env!("CARGO_PKG_VERSION"),
        "command": "finetune",
        "start": job.name,
        "start_sha256": checkpoint.weights().sha256()?,
        "config": checkpoint.config(),
        "tokenizer": tokenizer,
        "task": task,
        "train": fingerprint(&job.train),
        "dev": fingerprint(&job.dev),
        "settings": job.settings,
    }))
}

fn fingerprint(labelled: &Labelled) -> Value {
    let mut hash = Sha256::new();
    for ids in &labelled.ids {
        hash.update((ids.len() as u64).to_le_bytes());
        for id in ids {
            hash.update(id.to_le_bytes());
        }
    }
    match &labelled.targets {
        Targets::Classes(classes) => classes.iter().for_each(|&n| hash.update((n as u64).to_le_bytes())),
        Targets::Values(values) => values.iter().for_each(|value| hash.update(value.to_le_bytes())),
    }
    json!({ "sequences": labelled.ids.len(), "sha256": hex::encode(hash.finalize()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::metrics::measure_values;
    use crate::train::schedule::Shape;

    #[test]
    fn losses_above_the_first_and_above_guessing_are_told() {
        let mut state = State::new(Value::Null);
        assert!((0..60).all(|_| state.observe_loss(0.6, 1.0).is_none()));
        // Learnt, and then as bad as guessing: overfitting, or a step too far, but no explosion.
        assert!((0..60).all(|_| state.observe_loss(0.01, 1.0).is_none()));
        assert!((0..60).all(|_| state.observe_loss(1.5, 1.0).is_none()));
        // Values far off the mean are hard to guess, too.
        assert!((0..60).all(|_| state.observe_loss(40.0, 50.0).is_none()));
        let [mean, guessed, begun] = (0..60).find_map(|_| state.observe_loss(9.0, 1.0)).expect("told");
        assert!(mean > 2.0 * guessed && (begun - 0.6).abs() < 1e-12);
    }

    #[test]
    fn what_is_not_defined_is_never_better() {
        let schedule =
            Schedule { steps: 9, shape: Shape::Linear, warmup: 0, floor: 0.0, patience: 1, factor: 0.5 };
        let mut state = State::new(Value::Null);
        let flat = Metrics::Values(measure_values(&[1.0, 1.0, 1.0], &[1.0, 2.0, 3.0]));
        let good = Metrics::Values(measure_values(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0]));
        let fair = Metrics::Values(measure_values(&[1.0, 3.0, 2.0], &[1.0, 2.0, 3.0]));
        let mut better = Vec::new();
        for (step, metrics) in [&flat, &flat, &fair, &flat, &good, &fair].into_iter().enumerate() {
            state.step = step as u64;
            better.push(state.observe(1.0, metrics, Criterion::Spearman, &schedule));
        }
        assert_eq!(better, [true, false, true, false, true, false]);
        assert_eq!((state.best.unwrap().step, state.waited), (4, 1));
    }
}
