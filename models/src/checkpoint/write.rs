//! Writing tensors as a safetensors file.

use std::{
    borrow::Cow,
    collections::BTreeSet,
    io::{self, BufWriter, Write},
    path::Path,
};

use half::bf16;
use serde_json::json;

use super::Error;

/// The type in which numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// 32 bits, as they are.
    F32,
    /// The upper 16 bits, rounded to nearest even.
    Bf16,
}

impl Precision {
    fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::Bf16 => "BF16",
        }
    }

    fn size(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
        }
    }
}

/// Something that can be asked for the numbers of a tensor when they are needed.
pub trait NamedTensor {
    /// Its name.
    fn name(&self) -> &str;

    /// Its shape, in PyTorch's order.
    fn shape(&self) -> &[usize];

    /// Its numbers in row-major order. Called once, when all tensors before it are written; what is given is dropped before the
    /// next tensor is asked.
    fn values(&self) -> Result<Cow<'_, [f32]>, Box<dyn std::error::Error + Send + Sync>>;
}

impl<N: AsRef<str>, S: AsRef<[usize]>, V: AsRef<[f32]>> NamedTensor for (N, S, V) {
    fn name(&self) -> &str {
        self.0.as_ref()
    }

    fn shape(&self) -> &[usize] {
        self.1.as_ref()
    }

    fn values(&self) -> Result<Cow<'_, [f32]>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Cow::Borrowed(self.2.as_ref()))
    }
}

/// Writes tensors in the order of their names, as transformers reads them. The file appears whole or not at all.
pub fn write_safetensors<T: NamedTensor>(
    path: &Path,
    tensors: impl IntoIterator<Item = T>,
    precision: Precision,
) -> Result<(), Error> {
    let mut tensors: Vec<T> = tensors.into_iter().collect();
    tensors.sort_by(|a, b| a.name().cmp(b.name()));
    let header = header(path, &tensors, precision)?;
    let io_error = |source| Error::Io { path: path.to_owned(), source };
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let temporary = new_file(dir).map_err(io_error)?;
    let mut out = BufWriter::with_capacity(1 << 18, temporary.as_file());
    out.write_all(&header).map_err(io_error)?;
    for tensor in &tensors {
        write_tensor(path, tensor, precision, &mut out)?;
    }
    out.flush().map_err(io_error)?;
    drop(out);
    // Renaming before the bytes are on disk could leave an empty file under the final name after a power failure.
    temporary.as_file().sync_all().map_err(io_error)?;
    temporary.persist(path).map_err(|error| io_error(error.error))?;
    Ok(())
}

/// A file that is deleted unless it is renamed, with the permissions of an ordinary new file.
fn new_file(dir: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".").suffix(".partial");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(dir)
}

/// The length, the JSON and the padding that puts the first number on a multiple of eight.
fn header<T: NamedTensor>(path: &Path, tensors: &[T], precision: Precision) -> Result<Vec<u8>, Error> {
    let mut names = BTreeSet::new();
    let mut map = serde_json::Map::new();
    map.insert("__metadata__".to_owned(), json!({"format": "pt"}));
    let mut start = 0u64;
    for tensor in tensors {
        let (name, shape) = (tensor.name(), tensor.shape());
        if !names.insert(name) || name == "__metadata__" {
            return Err(unwritable(path, name, "the name is taken"));
        }
        let sizes = shape.iter().map(|&n| n as u64);
        let size = sizes.chain([precision.size()]).try_fold(1u64, u64::checked_mul);
        let Some(end) = size.and_then(|size| start.checked_add(size)) else {
            return Err(unwritable(path, name, "the size overflows"));
        };
        map.insert(
            name.to_owned(),
            json!({"dtype": precision.name(), "shape": shape, "data_offsets": [start, end]}),
        );
        start = end;
    }
    let mut json = serde_json::to_vec(&map).expect("a map with text keys is always JSON");
    json.resize(json.len().next_multiple_of(8), b' ');
    let mut header = (json.len() as u64).to_le_bytes().to_vec();
    header.extend(json);
    Ok(header)
}

fn write_tensor<T: NamedTensor>(
    path: &Path,
    tensor: &T,
    precision: Precision,
    out: &mut impl Write,
) -> Result<(), Error> {
    let name = tensor.name();
    let values = tensor.values().map_err(|reason| unwritable(path, name, reason))?;
    let count: usize = tensor.shape().iter().product();
    if values.len() != count {
        let reason = format!("{} numbers for shape {:?}", values.len(), tensor.shape());
        return Err(unwritable(path, name, reason));
    }
    let io_error = |source| Error::Io { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    for chunk in values.chunks(1 << 16) {
        bytes.clear();
        match precision {
            Precision::F32 => bytes.extend(chunk.iter().flat_map(|value| value.to_le_bytes())),
            Precision::Bf16 => {
                bytes.extend(chunk.iter().flat_map(|&value| bf16::from_f32(value).to_le_bytes()));
            }
        }
        out.write_all(&bytes).map_err(io_error)?;
    }
    Ok(())
}

fn unwritable(path: &Path, name: &str, reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Unwritable { path: path.to_owned(), name: name.to_owned(), reason: reason.into() }
}
