//! What the machine has.

use std::collections::BTreeMap;

use serde::Serialize;
use sysinfo::{CpuRefreshKind, Process, ProcessRefreshKind, ProcessesToUpdate, System};

/// The processor.
#[derive(Debug, Serialize)]
pub(super) struct Processor {
    pub(super) model: String,
    /// Features for which there is code of its own, by whether the processor has them.
    pub(super) features: BTreeMap<&'static str, bool>,
}

impl Processor {
    pub(super) fn look() -> Self {
        Self { model: model().unwrap_or_else(|| "of unknown model".to_owned()), features: features() }
    }
}

fn model() -> Option<String> {
    let mut system = System::new().ok()?;
    system.refresh_cpu_list(CpuRefreshKind::nothing());
    let brand = system.cpus().first()?.brand().trim();
    (!brand.is_empty()).then(|| brand.to_owned())
}

#[cfg(target_arch = "x86_64")]
fn features() -> BTreeMap<&'static str, bool> {
    BTreeMap::from([
        ("avx2", is_x86_feature_detected!("avx2")),
        ("fma", is_x86_feature_detected!("fma")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("avx512_bf16", is_x86_feature_detected!("avx512bf16")),
        ("amx_bf16", amx_bf16()),
    ])
}

/// The tiles of AMX are of use only where the system hands them out, which Linux alone does, and tells here.
#[cfg(target_arch = "x86_64")]
fn amx_bf16() -> bool {
    std::fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| {
        let flags = text.lines().find(|line| line.starts_with("flags"));
        flags.is_some_and(|line| line.split_whitespace().any(|flag| flag == "amx_bf16"))
    })
}

#[cfg(target_arch = "aarch64")]
fn features() -> BTreeMap<&'static str, bool> {
    BTreeMap::from([("neon", std::arch::is_aarch64_feature_detected!("neon"))])
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn features() -> BTreeMap<&'static str, bool> {
    BTreeMap::new()
}

/// Memory in bytes.
#[derive(Debug, Serialize)]
pub(crate) struct Memory {
    /// Of the machine.
    pub(super) total: u64,
    /// What this process can still have: the least that the machine and the limit leave.
    pub(crate) available: u64,
    /// What a control group (a container, a batch job) allows, where that is less than the machine has.
    pub(super) limit: Option<u64>,
}

impl Memory {
    /// Nothing where the system does not tell.
    pub(crate) fn look() -> Option<Self> {
        let mut system = System::new().ok()?;
        system.refresh_memory();
        let (total, available) = (system.total_memory(), system.available_memory());
        if total == 0 {
            return None;
        }
        // The group of this process: that of the whole system knows nothing of a batch job's limit.
        let limits = of_this_process(&mut system, ProcessRefreshKind::nothing(), Process::cgroup_limits);
        let limits = limits.filter(|limits| limits.total_memory < total);
        Some(Self {
            total,
            available: limits.as_ref().map_or(available, |limits| available.min(limits.free_memory)),
            limit: limits.map(|limits| limits.total_memory),
        })
    }

    /// Bytes that this process has in memory now; nothing where the system does not tell.
    pub(crate) fn resident() -> Option<u64> {
        let mut system = System::new().ok()?;
        let kind = ProcessRefreshKind::nothing().with_memory();
        of_this_process(&mut system, kind, |process| Some(process.memory())).filter(|&bytes| bytes > 0)
    }
}

fn of_this_process<T>(
    system: &mut System,
    kind: ProcessRefreshKind,
    fact: impl FnOnce(&Process) -> Option<T>,
) -> Option<T> {
    let id = sysinfo::get_current_pid().ok()?;
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[id]), true, kind);
    fact(system.process(id)?)
}
