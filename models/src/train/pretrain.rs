//! Pretraining: from a recipe to a model, through checkpoints that a killed run goes on from with the same bits.

mod reader;
mod setup;
mod state;

pub use setup::Setup;
pub use state::State;

use super::adamw::{Moments, clip};
use super::log::{self, Line, Log};
use super::markov::Markov;
use super::store::{self, Store, write_file};
use super::{Error, Network, Parameters, curve, gradient, order};
use crate::checkpoint::{CONFIG, Checkpoint, Precision, write_safetensors};
use crate::family::dnabert2::DnaBert2;
use crate::family::generator::Generator;
use crate::family::{Family, detect, random};
use crate::nn::{self, on_processor};
use burn::tensor::Device;
use kilobase_data::export::AtomicFile;
use reader::Reading;
use serde::Serialize;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The weights of a checkpoint.
const WEIGHTS: &str = "model.safetensors";
/// The moments of a checkpoint.
const MOMENTS: &str = "optimizer.safetensors";
/// The rest of a checkpoint.
const STATE: &str = "training.json";
/// The log of a run.
pub const LOG: &str = "log.jsonl";
/// The picture of a run.
pub const CURVE: &str = "loss.svg";
/// What a run ends with.
pub const REPORT: &str = "report.json";

/// A run that is at work: its next steps do not depend on whether it was begun or gone on with.
pub trait Trainer {
    /// Steps that are done.
    fn done(&self) -> u64;

    /// Steps in all.
    fn steps(&self) -> u64;

    /// Numbers that are trained.
    fn parameters(&self) -> usize;

    /// Does a step, and what is due after it: measures on held-out bases, writes a checkpoint. Returns what was logged.
    fn step(&mut self) -> Result<Vec<Line>, Error>;

    /// Writes a checkpoint now, unless the newest one is of this step.
    fn save(&mut self) -> Result<PathBuf, Error>;

    /// Writes the finished model to the run's folder, as a Hugging Face directory, and the report.
    fn finish(&mut self, precision: Precision) -> Result<Report, Error>;
}

/// What a run ends with.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Steps that were taken.
    pub steps: u64,
    /// Numbers that were trained.
    pub parameters: usize,
    /// Bases that were read, windows of all steps added up.
    pub bases: u64,
    /// Held-out bases.
    pub held_out: Vec<HeldOutReport>,
    /// All that decided the numbers.
    pub plan: serde_json::Value,
}

/// A model beside Markov models on the same held-out windows of one data set.
#[derive(Clone, Debug, Serialize)]
pub struct HeldOutReport {
    /// The data set.
    pub name: String,
    /// Windows.
    pub windows: usize,
    /// Bases that the model predicted.
    pub bases: u64,
    /// Of the model.
    pub bits_per_base: f64,
    /// The longest order of the Markov models; contexts of all shorter ones are mixed in.
    pub markov_order: usize,
    /// Of a Markov model of the same training bases as the model.
    pub markov_all: Option<f64>,
    /// Of a Markov model of this data set's training bases.
    pub markov_own: Option<f64>,
}

/// Goes on with the run in a folder, or begins one. `report` is told what is worth knowing.
pub fn open(
    setup: Setup,
    folder: &Path,
    device: &Device,
    restart: bool,
    report: &mut dyn FnMut(String),
) -> Result<Box<dyn Trainer>, Error> {
    let store = Store::open(folder, setup.recipe.checkpoint.keep)?;
    if restart {
        store.clear()?;
        // What an earlier run ended with would say that this one has ended.
        let report = folder.join(REPORT);
        match fs::remove_file(&report) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io(&report)(source));
            }
            _ => {}
        }
    }
    let newest = match newest(&store, &setup, report)? {
        Some(found) => found,
        None => begin(&store, &setup)?,
    };
    let checkpoint = Checkpoint::open(&newest)?;
    Ok(match detect(&checkpoint)? {
        Family::DnaBert2 => Box::new(Run::<DnaBert2>::open(setup, store, &newest, checkpoint, device)?),
        Family::Generator => Box::new(Run::<Generator>::open(setup, store, &newest, checkpoint, device)?),
    })
}

/// The newest checkpoint that can be read; one of another run is an error.
fn newest(store: &Store, setup: &Setup, report: &mut dyn FnMut(String)) -> Result<Option<PathBuf>, Error> {
    for (step, path) in store.checkpoints()? {
        let whole = store::read_json::<State>(&path.join(STATE)).and_then(|state| {
            setup.check_same(&path, &state)?;
            Checkpoint::open(&path)?;
            Ok(())
        });
        match whole {
            Ok(()) => {
                if step > 0 {
                    report(format!("going on after step {step} of {}", path.display()));
                }
                return Ok(Some(path));
            }
            Err(other @ Error::OtherRun { .. }) => return Err(other),
            Err(error) => report(format!("leaving out a checkpoint that cannot be read: {error}")),
        }
    }
    Ok(None)
}

/// Step 0: random weights, or those of the start.
fn begin(store: &Store, setup: &Setup) -> Result<PathBuf, Error> {
    store.save(
        0,
        |_| false,
        |path| {
            setup.write_model_files(path)?;
            if let Some(start) = setup.start()? {
                write_safetensors(&path.join(WEIGHTS), start, Precision::F32)?;
            } else {
                let tensors = random(setup.expected()?, setup.seed);
                write_safetensors(&path.join(WEIGHTS), tensors, Precision::F32)?;
            }
            write_state(path, &State::new(setup.plan.clone()))
        },
    )
}

fn write_state(path: &Path, state: &State) -> Result<(), Error> {
    let text = serde_json::to_vec_pretty(state).expect("numbers and text are always JSON");
    write_file(&path.join(STATE), &text)
}

struct Run<N> {
    setup: Setup,
    store: Store,
    network: N,
    parameters: Parameters,
    gradients: Parameters,
    moments: Moments,
    state: State,
    /// The batches of the epoch that the state is in.
    batches: Vec<Vec<order::Window>>,
    log: Log<Line>,
    /// The newest checkpoint.
    kept: Option<(u64, PathBuf)>,
}

impl<N: Network> Run<N> {
    fn open(
        setup: Setup,
        store: Store,
        path: &Path,
        checkpoint: Checkpoint,
        device: &Device,
    ) -> Result<Self, Error> {
        let state: State = store::read_json(&path.join(STATE))?;
        let precision = nn::Precision::from(setup.recipe.compute);
        if precision != nn::Precision::F32 && !on_processor(device) {
            return Err(Error::recipe("compute", "bf16 is for the processor; other devices compute in f32"));
        }
        let network = N::open(checkpoint, &device.clone().autodiff(), precision)?;
        if network.output().is_none() {
            return Err(Error::recipe("start", "the checkpoint has no output matrix for this goal"));
        }
        let parameters = Parameters::of(&network);
        let moments = if state.step == 0 {
            Moments::new(&parameters)
        } else {
            Moments::read(&path.join(MOMENTS), &parameters)?
        };
        let log = Log::open(&store.folder().join(LOG), state.step)?;
        let batches = setup.epoch(state.epoch)?;
        let gradients = parameters.zeros();
        let kept = Some((state.step, path.to_owned()));
        Ok(Self { setup, store, network, parameters, gradients, moments, state, batches, log, kept })
    }

    /// For messages.
    fn kept(&self) -> Option<PathBuf> {
        self.kept.as_ref().map(|(_, path)| path.clone())
    }

    /// The next batches of a step.
    fn next(&mut self) -> Result<Vec<Reading>, Error> {
        let mut readings = Vec::new();
        for part in 0..self.setup.recipe.batch.accumulate {
            if self.state.batch as usize >= self.batches.len() {
                self.state.epoch += 1;
                self.state.batch = 0;
                self.batches = self.setup.epoch(self.state.epoch)?;
            }
            let windows = &self.batches[self.state.batch as usize];
            let number = (self.state.step << 20) + part as u64;
            readings.push(self.setup.reading(windows, number)?);
            self.state.batch += 1;
        }
        Ok(readings)
    }

    fn train(&mut self) -> Result<log::Step, Error> {
        let begun = Instant::now();
        let readings = self.next()?;
        let recipe = &self.setup.recipe;
        let step = self.state.step + 1;
        let count: usize = readings.iter().map(|reading| reading.example.targets.len()).sum();
        let scale = 1.0 / count.max(1) as f64;
        self.gradients.clear();
        let (mut sum, mut cross_entropy) = (0.0, 0.0);
        for reading in &readings {
            let loss = gradient::accumulate(
                &self.network,
                &reading.example,
                &self.setup.objective,
                recipe.batch.keep,
                scale,
                &mut self.gradients,
            );
            sum += loss.sum;
            cross_entropy += loss.cross_entropy;
        }
        let (loss, norm) = (sum * scale, self.gradients.norm());
        for (what, value) in [("the loss", loss), ("the norm of the gradients", norm)] {
            if !value.is_finite() {
                return Err(Error::NotFinite { step, what, value, kept: self.kept() });
            }
        }
        let largest = (recipe.optimizer.clip > 0.0).then_some(recipe.optimizer.clip);
        let rate = recipe.optimizer.learning_rate * recipe.schedule.share(step, &self.state.plateau());
        let clipped = clip(norm, largest);
        recipe.optimizer.adamw().step(
            step,
            rate,
            &mut self.parameters,
            &self.gradients,
            clipped,
            &mut self.moments,
        );
        self.network = self.parameters.put(self.network.clone());
        self.state.step = step;
        if let Some((mean, lowest)) = self.state.observe(loss) {
            let (window, kept) = (state::WINDOW, self.kept());
            return Err(Error::Diverged { step, window, mean, lowest, kept });
        }
        let predicted: usize = readings.iter().map(|reading| reading.predicted).sum();
        let bases: u64 = readings.iter().map(|reading| reading.bases).sum();
        self.state.bases += bases;
        Ok(log::Step {
            step,
            epoch: self.state.epoch + 1,
            loss,
            bits_per_base: cross_entropy / std::f64::consts::LN_2 / predicted.max(1) as f64,
            learning_rate: rate,
            gradient_norm: norm,
            tokens: readings.iter().map(|reading| reading.example.batch.tokens() as u64).sum(),
            bases,
            seconds: begun.elapsed().as_secs_f64(),
        })
    }

    /// Every data set that has held-out bases.
    fn measure(&self) -> Result<Vec<(log::HeldOut, usize)>, Error> {
        let plain = self.network.valid();
        let mut all = Vec::new();
        for (name, windows) in self.setup.held_out() {
            let (mut sum, mut cross_entropy, mut targets, mut predicted) = (0.0, 0.0, 0, 0);
            for (number, windows) in windows.chunks(self.setup.recipe.batch.windows).enumerate() {
                // The same tokens are hidden at each measurement.
                let reading = self.setup.reading(windows, u64::MAX - number as u64)?;
                let loss = gradient::evaluate(&plain, &reading.example, &self.setup.objective);
                sum += loss.sum;
                cross_entropy += loss.cross_entropy;
                targets += reading.example.targets.len();
                predicted += reading.predicted;
            }
            let line = log::HeldOut {
                step: self.state.step,
                held_out: name.to_owned(),
                loss: sum / targets.max(1) as f64,
                bits_per_base: cross_entropy / std::f64::consts::LN_2 / predicted.max(1) as f64,
                bases: predicted as u64,
            };
            all.push((line, windows.len()));
        }
        Ok(all)
    }

    fn draw(&self) -> Result<(), Error> {
        let path = self.store.folder().join(CURVE);
        write_whole(&path, curve::svg(self.log.lines()).as_bytes())
    }
}

fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut file = AtomicFile::create(path, true)?;
    file.write_all(bytes).map_err(Error::io(path))?;
    Ok(file.commit()?)
}

impl<N: Network> Trainer for Run<N> {
    fn done(&self) -> u64 {
        self.state.step
    }

    fn steps(&self) -> u64 {
        self.setup.recipe.schedule.steps
    }

    fn parameters(&self) -> usize {
        self.parameters.len()
    }

    fn step(&mut self) -> Result<Vec<Line>, Error> {
        let mut lines = vec![Line::Step(self.train()?)];
        let (step, last) = (self.state.step, self.state.step == self.steps());
        let due = |every: u64| last || every > 0 && step.is_multiple_of(every);
        if due(self.setup.recipe.held_out.every) {
            let measured = self.measure()?;
            let losses = measured.iter().map(|(line, _)| line.loss);
            let mean = losses.sum::<f64>() / measured.len().max(1) as f64;
            if !measured.is_empty() {
                self.state.observe_held_out(mean, &self.setup.recipe.schedule);
            }
            lines.extend(measured.into_iter().map(|(line, _)| Line::HeldOut(line)));
        }
        for line in &lines {
            self.log.add(line.clone())?;
        }
        if due(self.setup.recipe.checkpoint.every) {
            self.save()?;
        }
        Ok(lines)
    }

    fn save(&mut self) -> Result<PathBuf, Error> {
        let step = self.state.step;
        if let Some((_, path)) = self.kept.as_ref().filter(|(saved, _)| *saved == step) {
            return Ok(path.clone());
        }
        if self.parameters.not_finite().is_some() {
            let (what, kept) = ("a weight", self.kept());
            return Err(Error::NotFinite { step, what, value: f64::NAN, kept });
        }
        let saved = self.store.save(
            step,
            |_| false,
            |path| {
                self.setup.write_model_files(path)?;
                write_safetensors(&path.join(WEIGHTS), self.parameters.tensors(""), Precision::F32)?;
                self.moments.write(&path.join(MOMENTS))?;
                write_state(path, &self.state)
            },
        );
        let path = saved.map_err(|source| Error::unsaved(step, self.kept(), source))?;
        self.kept = Some((step, path.clone()));
        self.draw()?;
        Ok(path)
    }

    fn finish(&mut self, precision: Precision) -> Result<Report, Error> {
        self.save()?;
        let folder = self.store.folder();
        let order = self.setup.recipe.held_out.markov;
        let causal = self.setup.is_causal();
        let both = self.setup.recipe.batch.reverse_complement;
        let all = (order > 0 && causal).then(|| Markov::count(&self.setup.corpora, order, both));
        let mut held_out = Vec::new();
        for (line, windows) in self.measure()? {
            let bases = self.setup.held_out_bases(&line.held_out);
            let own = self.setup.corpora.iter().filter(|corpus| corpus.name == line.held_out);
            let own = (order > 0 && causal).then(|| Markov::count(own, order, both));
            held_out.push(HeldOutReport {
                windows,
                bases: line.bases,
                bits_per_base: line.bits_per_base,
                markov_order: order,
                markov_all: all.as_ref().and_then(|markov| markov.bits_per_base(&bases)),
                markov_own: own.and_then(|markov| markov.bits_per_base(&bases)),
                name: line.held_out,
            });
        }
        let report = Report {
            steps: self.state.step,
            parameters: self.parameters.len(),
            bases: self.state.bases,
            held_out,
            plan: self.setup.plan.clone(),
        };
        let text = serde_json::to_vec_pretty(&report).expect("numbers and text are always JSON");
        write_whole(&folder.join(REPORT), &text)?;
        self.draw()?;
        for (name, bytes) in self.setup.model_files() {
            write_whole(&folder.join(name), bytes)?;
        }
        // Last: without its weights a folder is no model.
        write_safetensors(&folder.join(WEIGHTS), self.parameters.tensors(""), precision)?;
        Ok(report)
    }
}

/// The file that a model directory is recognised by, for callers that look whether a run has finished.
pub fn is_finished(folder: &Path) -> bool {
    [CONFIG, WEIGHTS, REPORT].iter().all(|name| folder.join(name).is_file())
}
