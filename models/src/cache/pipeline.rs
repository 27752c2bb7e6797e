//! Policies one after the other.

use super::Config;
use super::error::PolicyError;
use super::policy::{CachePolicy, Granularity, Kind};
use kilobase_kernels::attention::{AttnSpec, Collect, KeyForm};

/// Policies in the order evict, transform, select: at most one that evicts and one that selects. Decorators such as
/// [`KvCrush`](super::policy::kvcrush::KvCrush) wrap an evictor and count as one.
#[derive(Clone, Debug, Default)]
pub struct Pipeline {
    pub(super) stages: Vec<Box<dyn CachePolicy>>,
}

impl Pipeline {
    /// No policy: everything is kept and read.
    pub fn none() -> Self {
        Self::default()
    }

    /// Whether there is no policy.
    pub fn is_none(&self) -> bool {
        self.stages.is_empty()
    }

    /// Checks that the stages go together.
    pub fn new(stages: Vec<Box<dyn CachePolicy>>) -> Result<Self, PolicyError> {
        for pair in stages.windows(2) {
            let (first, second) = (pair[0].needs(), pair[1].needs());
            let names = || (pair[0].name(), pair[1].name());
            if first.kind > second.kind {
                let (first, second) = names();
                return Err(PolicyError::Order { first, second });
            }
            if first.kind == second.kind && first.kind != Kind::Transform {
                let (first, second) = names();
                let kind = if pair[0].needs().kind == Kind::Evict { "evict" } else { "select" };
                return Err(PolicyError::Twice { kind, first, second });
            }
        }
        let by_head = stages.iter().find(|stage| {
            stage.needs().kind == Kind::Evict && stage.needs().granularity == Granularity::Slot
        });
        let shared = stages.iter().find(|stage| {
            stage.needs().kind == Kind::Select && stage.needs().granularity == Granularity::Shared
        });
        if let (Some(first), Some(second)) = (by_head, shared) {
            return Err(PolicyError::Granularity { first: first.name(), second: second.name() });
        }
        Ok(Self { stages })
    }

    /// Checks that the stages suit the cache.
    pub(super) fn check(&self, config: &Config) -> Result<(), PolicyError> {
        for stage in &self.stages {
            let needs = stage.needs();
            if needs.causal_only && !config.causal {
                return Err(PolicyError::CausalOnly { policy: stage.name() });
            }
            if let Some(form) = needs.key_form.filter(|form| *form != config.key_form()) {
                let needs = if form == KeyForm::Raw { "raw" } else { "rotated" };
                return Err(PolicyError::KeyForm { policy: stage.name(), needs });
            }
        }
        Ok(())
    }

    /// Whether a stage relies on the same slots in all heads.
    pub(super) fn is_shared(&self) -> bool {
        self.stages.iter().any(|stage| stage.needs().granularity == Granularity::Shared)
    }

    /// Names and settings of the stages.
    pub fn name(&self) -> String {
        self.stages.iter().map(|stage| stage.name()).collect::<Vec<_>>().join(" | ")
    }

    /// As [`CachePolicy::kept`], of all stages.
    pub fn kept(&self, layer: usize, slots: usize, length: u32) -> usize {
        self.stages.iter().fold(slots, |slots, stage| stage.kept(layer, slots, length))
    }

    /// As [`CachePolicy::reads`], of all stages.
    pub fn reads(&self, slots: usize) -> usize {
        self.stages.iter().fold(slots, |slots, stage| stage.reads(slots))
    }

    /// As [`CachePolicy::narrowed`], of all stages.
    pub fn narrowed(&self, slots: usize, key_dim: usize) -> (usize, usize) {
        let of = self.stages.iter().map(|stage| stage.narrowed(slots, key_dim));
        of.max_by_key(|(narrowed, _)| *narrowed).unwrap_or((0, key_dim))
    }

    /// Sums of attention that the stages ask for.
    pub fn stats(&self) -> impl Iterator<Item = Collect> + '_ {
        self.stages.iter().filter_map(|stage| stage.needs().stats)
    }

    /// The form of stored keys that a stage asks for, if one does.
    pub fn key_form(&self) -> Option<KeyForm> {
        self.stages.iter().find_map(|stage| stage.needs().key_form)
    }

    /// Attention as the stages change it.
    #[must_use]
    pub fn attention(&self, spec: AttnSpec) -> AttnSpec {
        self.stages.iter().fold(spec, |spec, stage| stage.attention(spec))
    }
}
