//! What may be done to a cache to make it smaller or faster: one trait, one file a method, one table of all of them.

use std::fmt::Debug;

use kilobase_kernels::attention::{AttnSpec, Collect, Heads, KeyForm, KvView, Selection, Stats};

use super::Config;
use super::error::{FileFault, PolicyError};
use super::file::{Decoder, Encoder};
use super::plan::Plan;

pub mod budget;
pub mod evict;
pub mod h2o;
pub mod hip;
pub mod infllm;
pub mod infllm2;
pub mod kvcrush;
pub mod lm_infinite;
pub mod mpcache;
pub mod pie;
pub mod pyramid;
pub mod random;
pub mod rank;
pub mod snapkv;
pub mod squeezed;
mod summary;
pub mod think;
mod tokens;
pub mod window;

/// All policies, by name, with what builds each from a number of slots. A new one is a file and a line here.
pub const REGISTRY: &[(&str, Build)] = &[
    ("window", window::build),
    ("random", random::build),
    ("h2o", h2o::build),
    ("snapkv", snapkv::build),
    ("pyramid", pyramid::build),
    ("kvcrush", kvcrush::build),
    ("kvcrush-page", kvcrush::build_paged),
    ("lm-infinite", lm_infinite::build),
    ("infllm", infllm::build),
    ("infllm2", infllm2::build),
    ("hip", hip::build),
    ("mpcache-static", mpcache::build_static),
    ("mpcache", mpcache::build_dynamic),
    ("squeezed", squeezed::build),
    ("think", think::build),
];

/// First positions that built policies always keep: attention rests on them whatever they hold.
const SINKS: u32 = 4;
/// Slots over the budget at which built policies drop some while decoding: a page.
const INTERVAL: usize = 16;

/// Makes a policy with its usual settings for a number of slots.
pub type Build = fn(&Settings) -> Box<dyn CachePolicy>;

/// What the usual settings of a policy follow from.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Layers of the model.
    pub layers: usize,
    /// Slots of each layer and head that a query may read (ThinK: that keep all channels). With a budget of at least
    /// the length of the sequence every policy is exact, but for the cap on distances that its
    /// [`CachePolicy::attention`] documents.
    pub budget: usize,
    /// Seed of policies that draw.
    pub seed: u64,
}

/// Builds a policy by its name.
pub fn by_name(name: &str, settings: &Settings) -> Result<Box<dyn CachePolicy>, PolicyError> {
    let entry = REGISTRY.iter().find(|(known, _)| *known == name);
    entry.map(|(_, build)| build(settings)).ok_or_else(|| PolicyError::Unknown {
        name: name.to_owned(),
        known: REGISTRY.iter().map(|(name, _)| *name).collect(),
    })
}

/// What a policy does; also the order in which policies follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Drops slots.
    Evict,
    /// Changes what slots hold.
    Transform,
    /// Chooses what each query reads, and keeps everything.
    Select,
}

/// For what a policy chooses slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granularity {
    /// For each key/value head by itself.
    Slot,
    /// For all heads of a layer together.
    Shared,
}

/// What a policy needs from the cache and from attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// What it does.
    pub kind: Kind,
    /// Sums that attention collects for [`CachePolicy::plan`].
    pub stats: Option<Collect>,
    /// Form in which keys must be stored; `None` if either will do.
    pub key_form: Option<KeyForm>,
    /// For what it chooses slots; a [`Granularity::Shared`] stage needs the same slots in all heads.
    pub granularity: Granularity,
    /// Meaningless where queries see what comes after them.
    pub causal_only: bool,
    /// Its state refers to positions, so the sequence cannot be edited.
    pub fixed_positions: bool,
}

impl Needs {
    /// A policy of that kind that needs nothing, for causal models.
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            stats: None,
            key_form: None,
            granularity: Granularity::Slot,
            causal_only: true,
            fixed_positions: false,
        }
    }
}

/// How far a layer is, when it is asked whether it is time for a plan.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Rows that were just appended.
    pub rows: usize,
    /// The most slots that a head has.
    pub slots: usize,
    /// Length of the sequence: one after its last position.
    pub length: u32,
}

/// Queries that are about to read a layer.
#[derive(Clone, Copy, Debug)]
pub struct Queries<'a> {
    /// `[rows, query heads, key_dim]`, not rotated.
    pub q: Heads<'a>,
    /// Position of each row.
    pub positions: &'a [u32],
    /// What the layer computes, by [`CachePolicy::attention`].
    pub spec: &'a AttnSpec,
}

/// A method that makes a cache smaller or faster.
///
/// For each layer and chunk of tokens the cache appends, asks for a selection, attends, and, if the policy is due,
/// collects its sums, asks for a plan and carries it out. All decisions come from positions, never from the order of
/// slots; ranking is by [`rank`].
pub trait CachePolicy: ClonePolicy + Debug + Send + Sync {
    /// Name and settings: what a saved cache is compared by, and errors say.
    fn name(&self) -> String;

    /// What it needs.
    fn needs(&self) -> Needs;

    /// Attention as the policy changes it, for instance by a cap on distances.
    fn attention(&self, spec: AttnSpec) -> AttnSpec {
        spec
    }

    /// Called after `rows` rows were appended: they are the last slots of each head.
    fn on_append(&mut self, _layer: usize, _view: &dyn KvView, _rows: usize) {}

    /// What each query reads; `None` for everything.
    fn select(&mut self, _layer: usize, _queries: Queries<'_>, _view: &dyn KvView) -> Option<Selection> {
        None
    }

    /// Whether [`CachePolicy::plan`] is to be called after this step.
    fn due(&self, _layer: usize, _step: Step) -> bool {
        false
    }

    /// What is to be done now. `stats` holds the sums that [`Needs::stats`] asks for.
    fn plan(&mut self, _layer: usize, _step: Step, _view: &dyn KvView, _stats: &Stats) -> Plan {
        Plan::Noop
    }

    /// Slots changed their place or went: slot `i` of a head was slot `moves[head][i]`. `view` is after the change.
    fn on_move(&mut self, _layer: usize, _view: &dyn KvView, _moves: &[Vec<usize>]) {}

    /// How many slots of a head stay, at the most, of `slots` after a chunk of several tokens up to `length`. This and the
    /// next two are what a price is counted from before any work.
    fn kept(&self, _layer: usize, slots: usize, _length: u32) -> usize {
        slots
    }

    /// How many keys a query reads that may see `slots`, the search for them not counted.
    fn reads(&self, slots: usize) -> usize {
        slots
    }

    /// How many of `slots` have lost channels of their keys, and how many channels of `key_dim` those keep.
    fn narrowed(&self, _slots: usize, key_dim: usize) -> (usize, usize) {
        (0, key_dim)
    }

    /// Writes the state.
    fn save(&self, _out: &mut Encoder<'_>) {}

    /// Reads the state that [`CachePolicy::save`] wrote. Must not trust it.
    fn load(&mut self, _input: &mut Decoder<'_>, _config: &Config) -> Result<(), FileFault> {
        Ok(())
    }
}

/// Cloning behind a pointer; every policy that is `Clone` has it.
pub trait ClonePolicy {
    /// A copy with its state.
    fn clone_box(&self) -> Box<dyn CachePolicy>;
}

impl<P: CachePolicy + Clone + 'static> ClonePolicy for P {
    fn clone_box(&self) -> Box<dyn CachePolicy> {
        Box::new(self.clone())
    }
}

impl Clone for Box<dyn CachePolicy> {
    fn clone(&self) -> Self {
        (**self).clone_box()
    }
}
