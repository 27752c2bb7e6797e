use std::fmt;

use burn::tensor::Device;

use super::{CudaDevice, CudaProbe, DeviceRequest, Error, Result, probe_cuda};

/// A device that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Choice {
    /// The processor.
    Cpu,
    /// A CUDA device.
    Cuda(CudaDevice),
    /// A device of the graphics driver, by its place in the driver's list; the driver's choice where none was asked for.
    Wgpu(Option<usize>),
}

impl Choice {
    pub(super) fn find(request: DeviceRequest) -> Result<Self> {
        match request {
            DeviceRequest::Auto => auto(),
            DeviceRequest::Cpu => built(cfg!(feature = "cpu"), "cpu").map(|()| Self::Cpu),
            DeviceRequest::Cuda(index) => {
                built(cfg!(feature = "cuda"), "cuda")?;
                cuda(probe_cuda(), index.unwrap_or(0)).map(Self::Cuda)
            }
            DeviceRequest::Wgpu(index) => {
                built(cfg!(feature = "wgpu"), "wgpu")?;
                wgpu(wgpu_devices().len(), index).map(|()| Self::Wgpu(index))
            }
        }
    }

    /// Opens the device.
    pub fn open(&self) -> Result<Device> {
        match self {
            #[cfg(feature = "cpu")]
            Self::Cpu => Ok(Device::flex()),
            #[cfg(feature = "cuda")]
            Self::Cuda(device) => Ok(Device::cuda(device.index)),
            #[cfg(feature = "wgpu")]
            Self::Wgpu(None) => Ok(Device::wgpu(burn::tensor::DeviceKind::DefaultDevice)),
            #[cfg(feature = "wgpu")]
            Self::Wgpu(Some(index)) => {
                let mut devices = wgpu_devices();
                wgpu(devices.len(), Some(*index))?;
                Ok(devices.swap_remove(*index))
            }
            #[allow(unreachable_patterns, reason = "a build with every backend has handled all")]
            other => Err(Error::NotBuilt { feature: other.kind() }),
        }
    }

    /// `cpu`, `cuda` or `wgpu`: the name of the kind, which is also the cargo feature.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda(_) => "cuda",
            Self::Wgpu(_) => "wgpu",
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(device) => write!(f, "cuda:{} ({})", device.index, device.name),
            Self::Wgpu(None) => f.write_str("wgpu"),
            Self::Wgpu(Some(index)) => write!(f, "wgpu:{index}"),
        }
    }
}

fn auto() -> Result<Choice> {
    if cfg!(feature = "cuda")
        && let Ok(device) = cuda(probe_cuda(), 0)
    {
        return Ok(Choice::Cuda(device));
    }
    Choice::find(DeviceRequest::Cpu)
}

fn built(built: bool, feature: &'static str) -> Result<()> {
    if built { Ok(()) } else { Err(Error::NotBuilt { feature }) }
}

fn cuda(probe: CudaProbe, index: usize) -> Result<CudaDevice> {
    match probe {
        CudaProbe::Absent { reason } => Err(Error::NoDriver { device: "cuda", reason }),
        CudaProbe::Found(driver) => {
            let available = driver.devices.len();
            driver.devices.into_iter().nth(index).ok_or(Error::NoSuchDevice {
                device: "cuda",
                index,
                available,
            })
        }
    }
}

fn wgpu(available: usize, index: Option<usize>) -> Result<()> {
    if available == 0 {
        let reason = "the graphics driver shows no device".to_owned();
        return Err(Error::NoDriver { device: "wgpu", reason });
    }
    match index.filter(|index| *index >= available) {
        Some(index) => Err(Error::NoSuchDevice { device: "wgpu", index, available }),
        None => Ok(()),
    }
}

#[cfg(feature = "wgpu")]
fn wgpu_devices() -> Vec<Device> {
    Device::enumerate(burn::tensor::DeviceType::Wgpu).into_vec()
}

#[cfg(not(feature = "wgpu"))]
fn wgpu_devices() -> Vec<Device> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::{super::CudaDriver, *};

    fn machine(devices: usize) -> CudaProbe {
        let device = |index| CudaDevice { index, name: "N".to_owned(), memory: 1 << 30, compute: (9, 0) };
        CudaProbe::Found(CudaDriver { version: (13, 0), devices: (0..devices).map(device).collect() })
    }

    #[test]
    fn absent_driver_is_a_sentence_with_the_reason() {
        let error = cuda(CudaProbe::Absent { reason: "libcuda.so.1 is not here".to_owned() }, 0).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cuda cannot be used: libcuda.so.1 is not here; install or repair the driver, or use --device cpu"
        );
    }

    #[test]
    fn number_beyond_the_devices_tells_which_there_are() {
        assert_eq!(cuda(machine(2), 1).unwrap().index, 1);
        let message = |devices, index| cuda(machine(devices), index).unwrap_err().to_string();
        assert_eq!(message(2, 2), "there is no device cuda:2; this machine has 2, cuda:0 to cuda:1");
        assert_eq!(message(1, 7), "there is no device cuda:7; this machine has one, cuda:0");
        assert_eq!(message(0, 0), "there is no device cuda:0; this machine has none, use --device cpu");
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn kind_that_is_not_built_names_the_feature() {
        assert_eq!(DeviceRequest::Cuda(None).open().unwrap_err(), Error::NotBuilt { feature: "cuda" });
    }

    #[cfg(feature = "cpu")]
    #[test]
    fn processor_is_there() {
        assert_eq!(DeviceRequest::Cpu.choose().unwrap(), Choice::Cpu);
        DeviceRequest::Auto.open().unwrap();
    }
}
