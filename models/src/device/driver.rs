//! The CUDA driver's own library, loaded while running, so that one build serves machines with and without it.
//!
//! Signatures are those of the driver API: <https://docs.nvidia.com/cuda/cuda-driver-api/>.

use std::ffi::{CStr, c_char, c_int, c_uint};

use libloading::{Library, Symbol};

use super::{CudaDevice, CudaDriver};

const LIBRARY: &str = if cfg!(windows) { "nvcuda.dll" } else { "libcuda.so.1" };

const COMPUTE_MAJOR: c_int = 75;
const COMPUTE_MINOR: c_int = 76;

/// Asks for version and devices, or says why that is not possible.
pub(super) fn ask() -> Result<CudaDriver, String> {
    let driver = Driver::load()?;
    let version = driver.version()? as u32;
    let devices = (0..driver.device_count()?).map(|index| driver.device(index)).collect::<Result<_, _>>()?;
    Ok(CudaDriver { version: (version / 1000, version % 1000 / 10), devices })
}

/// A driver that was initialised.
struct Driver(Library);

impl Driver {
    fn load() -> Result<Self, String> {
        // SAFETY: the library is the system's CUDA driver; its start-up code takes no part of ours into account.
        let library = unsafe { Library::new(LIBRARY) }
            .map_err(|_| format!("there is no CUDA driver ({LIBRARY} cannot be loaded)"))?;
        let driver = Self(library);
        // SAFETY: `CUresult cuInit(unsigned int)`; flags must be 0.
        let code = unsafe { driver.function::<unsafe extern "system" fn(c_uint) -> c_int>("cuInit")?(0) };
        driver.check("cuInit", code)?;
        Ok(driver)
    }

    fn version(&self) -> Result<c_int, String> {
        self.number("cuDriverGetVersion")
    }

    fn device_count(&self) -> Result<c_int, String> {
        self.number("cuDeviceGetCount")
    }

    /// Calls a function that writes one number.
    fn number(&self, name: &'static str) -> Result<c_int, String> {
        let mut number = 0;
        // SAFETY: both functions called so have the form `CUresult f(int *)`, and the number outlives the call.
        let code = unsafe {
            self.function::<unsafe extern "system" fn(*mut c_int) -> c_int>(name)?(&raw mut number)
        };
        self.check(name, code).map(|()| number)
    }

    fn device(&self, index: c_int) -> Result<CudaDevice, String> {
        let mut handle: c_int = 0;
        // SAFETY: `CUresult cuDeviceGet(CUdevice *, int)`, where CUdevice is an int.
        let code = unsafe {
            type Get = unsafe extern "system" fn(*mut c_int, c_int) -> c_int;
            self.function::<Get>("cuDeviceGet")?(&raw mut handle, index)
        };
        self.check("cuDeviceGet", code)?;
        Ok(CudaDevice {
            index: index as usize,
            name: self.name(handle)?,
            memory: self.memory(handle)?,
            compute: (self.attribute(handle, COMPUTE_MAJOR)?, self.attribute(handle, COMPUTE_MINOR)?),
        })
    }

    fn name(&self, device: c_int) -> Result<String, String> {
        let mut name = [0u8; 256];
        // SAFETY: `CUresult cuDeviceGetName(char *, int, CUdevice)` writes at most the given number of letters.
        let code = unsafe {
            type Name = unsafe extern "system" fn(*mut c_char, c_int, c_int) -> c_int;
            let get = self.function::<Name>("cuDeviceGetName")?;
            get(name.as_mut_ptr().cast(), name.len() as c_int, device)
        };
        self.check("cuDeviceGetName", code)?;
        let name = CStr::from_bytes_until_nul(&name).unwrap_or_default();
        Ok(name.to_string_lossy().into_owned())
    }

    fn memory(&self, device: c_int) -> Result<u64, String> {
        let mut bytes = 0usize;
        // SAFETY: `CUresult cuDeviceTotalMem_v2(size_t *, CUdevice)`; the number outlives the call.
        let code = unsafe {
            type Memory = unsafe extern "system" fn(*mut usize, c_int) -> c_int;
            self.function::<Memory>("cuDeviceTotalMem_v2")?(&raw mut bytes, device)
        };
        self.check("cuDeviceTotalMem", code).map(|()| bytes as u64)
    }

    fn attribute(&self, device: c_int, attribute: c_int) -> Result<u32, String> {
        let mut number: c_int = 0;
        // SAFETY: `CUresult cuDeviceGetAttribute(int *, CUdevice_attribute, CUdevice)`; an enum of C is an int here.
        let code = unsafe {
            type Attribute = unsafe extern "system" fn(*mut c_int, c_int, c_int) -> c_int;
            self.function::<Attribute>("cuDeviceGetAttribute")?(&raw mut number, attribute, device)
        };
        self.check("cuDeviceGetAttribute", code).map(|()| number as u32)
    }

    /// # Safety
    ///
    /// `F` is the type of the function called `name`.
    unsafe fn function<F>(&self, name: &str) -> Result<Symbol<'_, F>, String> {
        // SAFETY: promised by the caller.
        unsafe { self.0.get(name.as_bytes()) }
            .map_err(|_| format!("the CUDA driver has no {name}; it is too old"))
    }

    /// Turns an answer other than success into words.
    fn check(&self, name: &str, code: c_int) -> Result<(), String> {
        match code {
            0 => Ok(()),
            100 => Err("the CUDA driver sees no device (is one hidden by CUDA_VISIBLE_DEVICES?)".to_owned()),
            code => Err(format!("the CUDA driver answers error {code} to {name}: {}", self.words(code))),
        }
    }

    fn words(&self, code: c_int) -> String {
        let mut text: *const c_char = std::ptr::null();
        // SAFETY: `CUresult cuGetErrorString(CUresult, const char **)` leaves null or a string that is never freed.
        unsafe {
            type Words = unsafe extern "system" fn(c_int, *mut *const c_char) -> c_int;
            if let Ok(get) = self.function::<Words>("cuGetErrorString") {
                get(code, &raw mut text);
            }
            if text.is_null() {
                return "no explanation".to_owned();
            }
            CStr::from_ptr(text).to_string_lossy().into_owned()
        }
    }
}
