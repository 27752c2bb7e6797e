//! Which device computes.
//!
//! A device is looked for before it is used: the backend for CUDA finds out on a thread of its own, at the first
//! operation, that there is no driver, and that would end the program with a panic.

mod choice;
mod cuda;
mod driver;
mod request;

pub use choice::Choice;
pub use cuda::{CudaDevice, CudaDriver, CudaProbe, probe_cuda};
pub use request::{DeviceRequest, ParseDeviceError};

/// The result of looking for a device.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a device cannot be used. Each is a resource that this machine or this build lacks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The build has no backend for the device.
    #[error(
        "this build cannot compute on {feature}; install a build with the feature `{feature}`, or choose another --device"
    )]
    NotBuilt {
        /// The cargo feature that adds the backend.
        feature: &'static str,
    },
    /// The driver is absent or does not work.
    #[error("{device} cannot be used: {reason}; install or repair the driver, or use --device cpu")]
    NoDriver {
        /// The kind of device.
        device: &'static str,
        /// What is wrong with the driver.
        reason: String,
    },
    /// The driver works, but it does not have a device of this number.
    #[error(
        "there is no device {device}:{index}; {}",
        match available {
            0 => "this machine has none, use --device cpu".to_owned(),
            1 => format!("this machine has one, {device}:0"),
            count => format!("this machine has {count}, {device}:0 to {device}:{}", count - 1),
        }
    )]
    NoSuchDevice {
        /// The kind of device.
        device: &'static str,
        /// The number asked for, from 0.
        index: usize,
        /// How many there are.
        available: usize,
    },
}

/// The cargo features for devices that are part of this build.
pub fn built_features() -> Vec<&'static str> {
    [("cpu", cfg!(feature = "cpu")), ("cuda", cfg!(feature = "cuda")), ("wgpu", cfg!(feature = "wgpu"))]
        .into_iter()
        .filter_map(|(name, built)| built.then_some(name))
        .collect()
}
