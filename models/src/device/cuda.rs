use super::driver;

/// What the machine has of CUDA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CudaProbe {
    /// The driver answered.
    Found(CudaDriver),
    /// There is no driver, or it does not work.
    Absent {
        /// Why, in plain words.
        reason: String,
    },
}

/// A CUDA driver that works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CudaDriver {
    /// The newest CUDA version that the driver supports, major and minor.
    pub version: (u32, u32),
    /// Its devices, in the driver's order.
    pub devices: Vec<CudaDevice>,
}

/// A CUDA device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CudaDevice {
    /// Its number, from 0.
    pub index: usize,
    /// Its name.
    pub name: String,
    /// All of its memory, in bytes.
    pub memory: u64,
    /// The compute capability, major and minor.
    pub compute: (u32, u32),
}

/// Asks the driver what it has. Nothing is computed, and no memory on a device is taken.
pub fn probe_cuda() -> CudaProbe {
    match driver::ask() {
        Ok(driver) => CudaProbe::Found(driver),
        Err(reason) => CudaProbe::Absent { reason },
    }
}
