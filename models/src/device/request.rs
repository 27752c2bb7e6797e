use std::{fmt, str::FromStr};

use burn::tensor::Device;

use super::{Choice, Result};

/// The device that a user asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeviceRequest {
    /// CUDA where the build and the machine have it, otherwise the processor.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// A CUDA device, the first unless a number is given.
    Cuda(Option<usize>),
    /// A device of the graphics driver, the driver's choice unless a number is given.
    Wgpu(Option<usize>),
}

impl DeviceRequest {
    /// Looks for the device and settles which one it is. [`Choice`] can be shown to the user.
    pub fn choose(self) -> Result<Choice> {
        Choice::find(self)
    }

    /// Looks for the device and opens it.
    pub fn open(self) -> Result<Device> {
        self.choose()?.open()
    }
}

impl fmt::Display for DeviceRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(None) => f.write_str("cuda"),
            Self::Cuda(Some(index)) => write!(f, "cuda:{index}"),
            Self::Wgpu(None) => f.write_str("wgpu"),
            Self::Wgpu(Some(index)) => write!(f, "wgpu:{index}"),
        }
    }
}

/// A text that names no device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}: no such kind of device; give auto, cpu, cuda, cuda:N, wgpu or wgpu:N")]
pub struct ParseDeviceError {
    /// The text.
    pub text: String,
}

impl FromStr for DeviceRequest {
    type Err = ParseDeviceError;

    fn from_str(text: &str) -> std::result::Result<Self, ParseDeviceError> {
        let unknown = || ParseDeviceError { text: text.to_owned() };
        let (kind, index) = match text.split_once(':') {
            // `+1` parses as a number, but nobody numbers a device so.
            Some((kind, index)) if index.bytes().all(|byte| byte.is_ascii_digit()) => {
                (kind, Some(index.parse().map_err(|_| unknown())?))
            }
            Some(_) => return Err(unknown()),
            None => (text, None),
        };
        match (kind, index) {
            ("auto", None) => Ok(Self::Auto),
            ("cpu", None) => Ok(Self::Cpu),
            ("cuda", index) => Ok(Self::Cuda(index)),
            ("wgpu", index) => Ok(Self::Wgpu(index)),
            _ => Err(unknown()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_request_go_both_ways() {
        for text in ["auto", "cpu", "cuda", "cuda:0", "cuda:13", "wgpu", "wgpu:2"] {
            assert_eq!(text.parse::<DeviceRequest>().unwrap().to_string(), text);
        }
        for text in
            ["", "gpu", "cpu:0", "auto:1", "cuda:", "cuda:x", "cuda:-1", "cuda:+1", "CUDA", "cuda:0:0"]
        {
            assert!(text.parse::<DeviceRequest>().is_err(), "{text}");
        }
        assert!("cuda:99999999999999999999999".parse::<DeviceRequest>().is_err());
    }
}
