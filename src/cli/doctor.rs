use std::io::Write;

use kilobase::models::device::{self, CudaProbe, DeviceRequest};
use kilobase::models::nn::{Kernel, Precision};
use serde::Serialize;

use super::{Ctx, output::Stdout};

mod machine;

pub(crate) use machine::Memory;
use machine::Processor;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// What there is. The names are those of the JSON document.
#[derive(Debug, Serialize)]
struct Report {
    version: &'static str,
    target: String,
    features: Vec<&'static str>,
    processor: Processor,
    kernels: Kernels,
    threads: usize,
    memory: Option<Memory>,
    cuda: Cuda,
    device: Device,
}

/// What multiplies matrices on the processor, by `--dtype`.
#[derive(Debug, Serialize)]
struct Kernels {
    f32: String,
    bf16: String,
}

impl Kernels {
    fn look() -> Self {
        let best = |precision| Kernel::best(precision).to_string();
        Self { f32: best(Precision::F32), bf16: best(Precision::Bf16) }
    }
}

#[derive(Debug, Serialize)]
struct Cuda {
    /// The newest CUDA version that the driver supports.
    driver: Option<String>,
    devices: Vec<CudaDevice>,
    /// Why there is no driver.
    reason: Option<String>,
}

#[derive(Debug, Serialize)]
struct CudaDevice {
    index: usize,
    name: String,
    compute: String,
    memory: u64,
}

#[derive(Debug, Serialize)]
struct Device {
    asked: String,
    picked: Option<String>,
    /// Why none could be picked.
    reason: Option<String>,
}

pub(crate) fn run(_: &Args, ctx: &Ctx) -> anyhow::Result<()> {
    let choice = ctx.device.choose();
    let report = Report::new(ctx.threads, ctx.device, &choice);
    let mut out = Stdout::new();
    if ctx.json {
        serde_json::to_writer_pretty(&mut out, &report).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        report.write(&mut out)?;
    }
    out.flush()?;
    // A device that was asked for and cannot be had is an error after the report, so that scripts can test for it.
    match choice {
        Err(error) if ctx.device != DeviceRequest::Auto => Err(error.into()),
        _ => Ok(()),
    }
}

impl Report {
    fn new(threads: usize, asked: DeviceRequest, choice: &device::Result<device::Choice>) -> Self {
        let mut features = device::built_features();
        features.extend(cfg!(feature = "hub").then_some("hub"));
        Self {
            version: env!("CARGO_PKG_VERSION"),
            target: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
            features,
            processor: Processor::look(),
            kernels: Kernels::look(),
            threads,
            memory: Memory::look(),
            cuda: Cuda::new(device::probe_cuda()),
            device: Device {
                asked: asked.to_string(),
                picked: choice.as_ref().ok().map(ToString::to_string),
                reason: choice.as_ref().err().map(ToString::to_string),
            },
        }
    }

    fn write(&self, out: &mut dyn Write) -> std::io::Result<()> {
        writeln!(out, "kilobase {}", self.version)?;
        writeln!(out, "build      {}, features {}", self.target, list(&self.features))?;
        writeln!(out, "processor  {}", self.processor.model)?;
        let has = |wanted| {
            let features = &self.processor.features;
            list(
                &features
                    .iter()
                    .filter(|(_, has)| **has == wanted)
                    .map(|(name, _)| *name)
                    .collect::<Vec<_>>(),
            )
        };
        writeln!(out, "           has {}; has not {}", has(true), has(false))?;
        writeln!(out, "           multiplies f32 by {}; bf16 by {}", self.kernels.f32, self.kernels.bf16)?;
        writeln!(out, "threads    {}", self.threads)?;
        match &self.memory {
            None => writeln!(out, "memory     this system does not tell")?,
            Some(memory) => {
                write!(out, "memory     {}, {} available", gib(memory.total), gib(memory.available))?;
                let limit = memory.limit.map(|limit| format!(", limited to {} for this process", gib(limit)));
                writeln!(out, "{}", limit.unwrap_or_default())?;
            }
        }
        self.cuda.write(out)?;
        match (&self.device.picked, &self.device.reason) {
            (Some(picked), _) => writeln!(out, "device     {} is {picked}", self.device.asked),
            (None, reason) => {
                let reason = reason.as_deref().unwrap_or_default();
                writeln!(out, "device     {} is none: {reason}", self.device.asked)
            }
        }
    }
}

impl Cuda {
    fn new(probe: CudaProbe) -> Self {
        match probe {
            CudaProbe::Absent { reason } => Self { driver: None, devices: Vec::new(), reason: Some(reason) },
            CudaProbe::Found(driver) => Self {
                driver: Some(format!("{}.{}", driver.version.0, driver.version.1)),
                devices: driver.devices.into_iter().map(CudaDevice::new).collect(),
                reason: None,
            },
        }
    }

    fn write(&self, out: &mut dyn Write) -> std::io::Result<()> {
        if let Some(driver) = &self.driver {
            writeln!(out, "cuda       driver for CUDA {driver}")?;
        }
        if let Some(reason) = &self.reason {
            writeln!(out, "cuda       {reason}")?;
        }
        for CudaDevice { index, name, compute, memory } in &self.devices {
            writeln!(out, "           cuda:{index} {name}, compute capability {compute}, {}", gib(*memory))?;
        }
        Ok(())
    }
}

impl CudaDevice {
    fn new(device: device::CudaDevice) -> Self {
        let device::CudaDevice { index, name, memory, compute: (major, minor) } = device;
        Self { index, name, compute: format!("{major}.{minor}"), memory }
    }
}

fn list(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}
