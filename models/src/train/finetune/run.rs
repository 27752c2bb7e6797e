//! The loop of fine-tuning.

use super::start::Start;
use super::state::{STATE, State, WINDOW};
use super::{Job, Labelled, Outcome, Progress, REPORT, Trainer};
use crate::checkpoint::{CONFIG, Precision, Weights, write_safetensors};
use crate::run::kmers::law;
use crate::run::predict::task::Task;
use crate::train::adamw::{Moments, clip};
use crate::train::log::Log;
use crate::train::lora::{Adapter, FACTORS, PREFIX};
use crate::train::metrics::{Metrics, measure, measure_values};
use crate::train::schedule::Schedule;
use crate::train::store::{self, Store, write_file};
use crate::train::{Error, Network, Parameters, Targets, gradient, order};
use kilobase_data::batch::PackedBatch;
use rand::seq::SliceRandom;
use serde_json::{Map, Value, json};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const WEIGHTS: &str = "model.safetensors";
const MOMENTS: &str = "optimizer.safetensors";
/// The folder of the factors beside the merged weights.
const ADAPTER: &str = "adapter";
const LOG: &str = "log.jsonl";
/// Sequences of a batch that is only measured, at least.
const MEASURED: usize = 64;

pub(super) struct Run<N> {
    job: Job,
    /// The training set's, as the head predicts them.
    targets: Targets,
    /// What guessing each takes.
    guessed: Vec<f64>,
    schedule: Schedule,
    steps_of_epoch: u64,
    config: Map<String, Value>,
    store: Store,
    network: N,
    weights: Parameters,
    gradients: Parameters,
    adapter: Option<Adapter>,
    moments: Moments,
    state: State,
    /// An epoch, and its order of the training set.
    order: (u64, Vec<usize>),
    log: Log<Progress>,
    /// The newest checkpoint.
    kept: Option<PathBuf>,
}

impl<N: Network> Run<N> {
    /// `network` has the weights of the start; those of the newest checkpoint take their place.
    pub(super) fn open(
        network: N,
        start: &Start,
        job: Job,
        plan: Value,
        store: Store,
        newest: Option<(State, PathBuf)>,
    ) -> Result<Self, Error> {
        let settings = &job.settings;
        let mut weights = Parameters::of(&network);
        let is_head = |name: &str| N::HEAD.iter().any(|head| name.starts_with(head));
        let mut adapter = settings
            .lora
            .clone()
            .map(|lora| Adapter::new(lora, &weights, is_head, settings.seed))
            .transpose()?;
        let mut moments = Moments::new(adapter.as_ref().map_or(&weights, |adapter| &adapter.trained));
        let kept = newest.as_ref().map(|(_, path)| path.clone());
        if let Some(path) = &kept {
            if let Some(adapter) = &mut adapter {
                let factors = Weights::open_file(&path.join(ADAPTER).join(FACTORS))?;
                adapter.trained = adapter.trained.read(&factors, PREFIX)?;
                adapter.merge(&mut weights);
            } else {
                weights = weights.read(&Weights::open_file(&path.join(WEIGHTS))?, "")?;
            }
            let trained = adapter.as_ref().map_or(&weights, |adapter| &adapter.trained);
            moments = Moments::read(&path.join(MOMENTS), trained)?;
        }
        let network = weights.put(network);
        let state = newest.map_or_else(|| State::new(plan), |(state, _)| state);
        let targets = job.train.targets.standard(&job.task);
        let steps_of_epoch = job.train.ids.len().div_ceil(settings.batch) as u64;
        let steps = settings.epochs * steps_of_epoch;
        let steps = if settings.max_steps > 0 { steps.min(settings.max_steps) } else { steps };
        let warmup = settings.warmup.min(steps);
        let schedule =
            Schedule { steps, shape: settings.shape, warmup, floor: 0.0, patience: 1, factor: 0.5 };
        let log = Log::open(&store.folder().join(LOG), state.step)?;
        Ok(Self {
            guessed: targets.guessed(),
            targets,
            schedule,
            steps_of_epoch,
            config: start.config().clone(),
            gradients: weights.zeros(),
            order: (u64::MAX, Vec::new()),
            job,
            store,
            network,
            weights,
            adapter,
            moments,
            state,
            log,
            kept,
        })
    }

    /// The sequences of the next step: a function of the seed and the step.
    fn next(&mut self) -> Vec<usize> {
        let (epoch, place) = (self.state.step / self.steps_of_epoch, self.state.step % self.steps_of_epoch);
        if self.order.0 != epoch {
            let mut all: Vec<usize> = (0..self.job.train.ids.len()).collect();
            all.shuffle(&mut order::stream(self.job.settings.seed, 5, epoch));
            self.order = (epoch, all);
        }
        let size = self.job.settings.batch;
        self.order.1.chunks(size).nth(place as usize).expect("a step of an epoch").to_vec()
    }

    /// Changes the weights; returns the loss before that.
    fn train(&mut self) -> Result<f64, Error> {
        let rows = self.next();
        let step = self.state.step + 1;
        let optimizer = self.job.settings.optimizer;
        self.gradients.clear();
        let (batch, targets) = (batch(&self.job.train, &rows), self.targets.of(&rows));
        let loss = gradient::supervised(&self.network, &batch, &targets, &mut self.gradients);
        let of_trained = self.adapter.as_ref().map(|adapter| adapter.gradients(&self.gradients));
        let own = of_trained.as_ref().unwrap_or(&self.gradients);
        let norm = own.norm();
        self.check(step, [("the loss", loss), ("the norm of the gradients", norm)])?;
        let clipped = clip(norm, (optimizer.clip > 0.0).then_some(optimizer.clip));
        let rate = optimizer.learning_rate * self.schedule.share(step, &self.state.plateau());
        let trained = self.adapter.as_mut().map_or(&mut self.weights, |adapter| &mut adapter.trained);
        optimizer.adamw().step(step, rate, trained, own, clipped, &mut self.moments);
        if let Some(adapter) = &self.adapter {
            adapter.merge(&mut self.weights);
        }
        self.network = self.weights.put(self.network.clone());
        self.state.step = step;
        let guessed = rows.iter().map(|&row| self.guessed[row]).sum::<f64>() / rows.len() as f64;
        if let Some([mean, guessed, begun]) = self.state.observe_loss(loss, guessed) {
            let (window, kept) = (WINDOW as u64, self.kept.clone());
            return Err(Error::Exploded { step, window, mean, begun, guessed, kept });
        }
        Ok(loss)
    }

    /// Refuses numbers that are none.
    fn check<const M: usize>(&self, step: u64, numbers: [(&'static str, f64); M]) -> Result<(), Error> {
        match numbers.into_iter().find(|(_, value)| !value.is_finite()) {
            Some((what, value)) => Err(Error::NotFinite { step, what, value, kept: self.kept.clone() }),
            None => Ok(()),
        }
    }

    /// Measures on the development set, and the loss there on the scale of training.
    fn measure(&self) -> Result<(Metrics, f64), Error> {
        let plain = self.network.valid();
        let (dev, task) = (&self.job.dev, &self.job.task);
        let rows: Vec<usize> = (0..dev.ids.len()).collect();
        let mut answers = Vec::new();
        for rows in rows.chunks(self.job.settings.batch.max(MEASURED)) {
            answers.extend(gradient::answers(&plain, &batch(dev, rows)));
        }
        let odd = answers.iter().find(|x| !x.is_finite()).map_or(0.0, |&x| f64::from(x));
        self.check(self.state.step, [("an answer of the head", odd)])?;
        Ok(match (task, &dev.targets) {
            (Task::Classes(classes), Targets::Classes(labels)) => {
                let laws: Vec<f64> = answers.chunks_exact(classes.len()).flat_map(law).collect();
                let metrics = measure(&laws, labels, classes.len());
                let loss = metrics.loss;
                (Metrics::Classes(metrics), loss)
            }
            (Task::Value(scale), Targets::Values(values)) => {
                let predicted: Vec<f64> = answers.iter().map(|&x| scale.value(f64::from(x))).collect();
                let metrics = measure_values(&predicted, values);
                let loss = metrics.mse / scale.deviation.powi(2);
                (Metrics::Values(metrics), loss)
            }
            _ => unreachable!("looked at when the run was opened"),
        })
    }

    fn save(&mut self) -> Result<(), Error> {
        let step = self.state.step;
        if self.weights.not_finite().is_some() {
            let (what, kept) = ("a weight", self.kept.clone());
            return Err(Error::NotFinite { step, what, value: f64::NAN, kept });
        }
        let best = self.state.best.as_ref().map(|best| best.step);
        let saved = self.store.save(step, |step| best == Some(step), |path| self.write(path));
        self.kept = Some(saved.map_err(|source| Error::unsaved(step, self.kept.clone(), source))?);
        Ok(())
    }

    fn write(&self, path: &Path) -> Result<(), Error> {
        let config = serde_json::to_vec_pretty(&self.config).expect("JSON is always JSON");
        write_file(&path.join(CONFIG), &config)?;
        for (name, bytes) in &self.job.files {
            write_file(&path.join(name), bytes)?;
        }
        write_safetensors(&path.join(WEIGHTS), self.weights.tensors(""), Precision::F32)?;
        if let Some(adapter) = &self.adapter {
            let folder = path.join(ADAPTER);
            fs::create_dir(&folder).map_err(Error::io(&folder))?;
            adapter.write(&folder, &self.job.name)?;
        }
        self.moments.write(&path.join(MOMENTS))?;
        let state = serde_json::to_vec_pretty(&self.state).expect("numbers and text are always JSON");
        write_file(&path.join(STATE), &state)
    }

    fn every(&self) -> u64 {
        if self.job.settings.every > 0 { self.job.settings.every } else { self.steps_of_epoch }
    }
}

impl<N: Network> Trainer for Run<N> {
    fn done(&self) -> u64 {
        self.state.step
    }

    fn steps(&self) -> u64 {
        self.schedule.steps
    }

    fn is_over(&self) -> bool {
        let patience = self.job.settings.patience;
        self.state.step >= self.schedule.steps || patience > 0 && self.state.waited >= patience
    }

    fn step(&mut self) -> Result<Progress, Error> {
        let loss = self.train()?;
        let (step, steps) = (self.state.step, self.schedule.steps);
        let mut dev = None;
        if step == steps || step.is_multiple_of(self.every()) {
            let (metrics, loss) = self.measure()?;
            self.state.observe(loss, &metrics, self.job.settings.best_by, &self.schedule);
            dev = Some(metrics);
        }
        let every = self.job.settings.save_every;
        let save = dev.is_some() || every > 0 && step.is_multiple_of(every);
        let progress = Progress { step, steps, loss, dev };
        self.log.add(progress.clone())?;
        if save {
            self.save()?;
        }
        Ok(progress)
    }

    fn finish(self: Box<Self>, output: &Path) -> Result<Outcome, Error> {
        assert!(self.is_over(), "the run is over");
        let best = self.state.best.as_ref().expect("the last step is measured").step;
        let from = self.store.checkpoint(best);
        // As they were written when they were measured, whether by this process or by one before it.
        let measured = store::read_json::<State>(&from.join(STATE))?.best.map(|best| best.metrics);
        let trained = self.adapter.as_ref().map_or(self.weights.len(), |adapter| adapter.trained.len());
        let outcome = Outcome {
            best_step: best,
            steps: self.state.step,
            dev: measured.expect("the checkpoint was measured"),
            trained,
            parameters: self.weights.len(),
        };
        let mut report = self.job.facts.clone();
        report.insert("outcome".into(), json!(outcome));
        report.insert("plan".into(), self.state.plan.clone());
        let report = serde_json::to_vec_pretty(&report).expect("JSON is always JSON");
        self.store.publish(output, |path| {
            for name in
                [CONFIG, WEIGHTS].into_iter().chain(self.job.files.iter().map(|(name, _)| name.as_str()))
            {
                link(&from.join(name), &path.join(name))?;
            }
            if self.adapter.is_some() {
                let (from, path) = (from.join(ADAPTER), path.join(ADAPTER));
                fs::create_dir(&path).map_err(Error::io(&path))?;
                for entry in fs::read_dir(&from).map_err(Error::io(&from))? {
                    let name = entry.map_err(Error::io(&from))?.file_name();
                    link(&from.join(&name), &path.join(&name))?;
                }
            }
            let log = self.store.folder().join(LOG);
            write_file(&path.join(LOG), &fs::read(&log).map_err(Error::io(&log))?)?;
            write_file(&path.join(REPORT), &report)
        })?;
        self.store.clear()?;
        match fs::remove_dir_all(self.store.folder()) {
            // Another process may have seen the finished model and removed what is left over.
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io(self.store.folder())(error))
            }
            _ => Ok(outcome),
        }
    }
}

/// A file under another name, without its bytes again where the file system can do that.
fn link(from: &Path, to: &Path) -> Result<(), Error> {
    fs::hard_link(from, to).or_else(|_| fs::copy(from, to).map(|_| ())).map_err(Error::io(to))
}

fn batch(from: &Labelled, rows: &[usize]) -> PackedBatch {
    let mut batch = PackedBatch::default();
    for &row in rows {
        batch.push(&from.ids[row], None).expect("no types");
    }
    batch
}
