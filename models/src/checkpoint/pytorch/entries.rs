//! From the values of a pickle to tensors that lie within their storages.

use std::collections::HashSet;

use super::{
    PytorchFault,
    archive::Archive,
    heap::{Heap, RawTensor, Value},
};
use crate::checkpoint::tensor::{Entry, Layout, MAX_RANK, byte_len, element_count};

/// The tensors of a state dict, or of a `{"state_dict": {...}}` beside which there are only plain numbers and words.
pub(super) fn from_state_dict(
    root: Value<'_>,
    heap: &Heap<'_>,
    archive: &Archive,
    file: usize,
) -> Result<Vec<(String, Entry)>, PytorchFault> {
    let Value::Dict(root) = root else {
        return Err(PytorchFault::NotStateDict { found: root.kind() });
    };
    let mut names = HashSet::new();
    let mut entries = Vec::new();
    for &(key, value) in &heap.dict(unwrap(root, heap)?).pairs {
        let Value::Text(name) = key else {
            return Err(PytorchFault::NotTensor { key: key.kind().to_owned(), found: value.kind() });
        };
        let name = name.to_owned();
        let Value::Tensor(tensor) = value else {
            return Err(PytorchFault::NotTensor { key: name, found: value.kind() });
        };
        if !names.insert(name.clone()) {
            return Err(PytorchFault::DuplicateTensor { tensor: name });
        }
        let entry = entry(&name, heap.raw_tensor(tensor), heap, archive, file)?;
        entries.push((name, entry));
    }
    Ok(entries)
}

/// The dict that holds the tensors: `root`, or what it has under `state_dict`.
fn unwrap(root: usize, heap: &Heap<'_>) -> Result<usize, PytorchFault> {
    let mut inner = None;
    for (key, value) in &heap.dict(root).pairs {
        if let (Value::Text("state_dict"), &Value::Dict(dict)) = (key, value) {
            inner = Some(dict);
        }
    }
    let Some(inner) = inner else { return Ok(root) };
    for (key, value) in &heap.dict(root).pairs {
        let plain =
            matches!(value, Value::None | Value::Bool | Value::Int(_) | Value::Float | Value::Text(_));
        match key {
            Value::Text("state_dict") => {}
            _ if plain => {}
            Value::Text(key) => {
                return Err(PytorchFault::NotTensor { key: (*key).to_owned(), found: value.kind() });
            }
            key => return Err(PytorchFault::NotTensor { key: key.kind().to_owned(), found: value.kind() }),
        }
    }
    Ok(inner)
}

fn entry(
    name: &str,
    raw: &RawTensor,
    heap: &Heap<'_>,
    archive: &Archive,
    file: usize,
) -> Result<Entry, PytorchFault> {
    let tensor = || name.to_owned();
    let id = heap.storage_id(raw.storage);
    let natural = |what, value: i64| {
        u64::try_from(value).map_err(|_| PytorchFault::Negative { tensor: tensor(), what, value })
    };
    let elements = natural("number of elements", id.elements)?;
    let path = format!("data/{}", id.key);
    let Some(storage) = archive.entry(&path) else {
        return Err(PytorchFault::MissingEntry { name: path });
    };
    if elements.checked_mul(id.dtype.bitsize() as u64 / 8) != Some(storage.len()) {
        let (key, dtype) = (id.key.to_owned(), id.dtype);
        return Err(PytorchFault::StorageSize {
            tensor: tensor(),
            key,
            elements,
            dtype,
            held: storage.len(),
        });
    }
    let (sizes, strides) = (raw.sizes.len(), raw.strides.len());
    if sizes != strides || sizes > MAX_RANK {
        return Err(PytorchFault::Rank { tensor: tensor(), sizes, strides });
    }
    let offset = natural("offset", raw.offset)?;
    let shape = raw.sizes.iter().map(|&n| natural("size", n)).collect::<Result<Vec<_>, _>>()?;
    let strides = raw.strides.iter().map(|&n| natural("stride", n)).collect::<Result<Vec<_>, _>>()?;
    let sizes = shape.iter().map(|&n| usize::try_from(n).ok()).collect::<Option<Vec<_>>>();
    let sizes = sizes.filter(|sizes| byte_len(id.dtype, sizes).is_some());
    match (layout(&shape, &strides, offset, elements), sizes) {
        (Some(layout), Some(shape)) => {
            Ok(Entry { dtype: id.dtype, shape, file, storage: storage.clone(), layout })
        }
        _ => Err(PytorchFault::TensorRange { tensor: tensor(), shape, strides, offset, available: elements }),
    }
}

/// The order of the elements, if all of them are among the `available` ones, and are no more than those.
///
/// The second condition bounds memory: a stride of zero would otherwise make any number of elements out of one.
fn layout(shape: &[u64], strides: &[u64], offset: u64, available: u64) -> Option<Layout> {
    let count = element_count(shape)?;
    if count == 0 {
        return (offset <= available).then_some(Layout::Contiguous { first: offset });
    }
    let mut last = offset;
    for (&size, &stride) in shape.iter().zip(strides) {
        last = last.checked_add((size - 1).checked_mul(stride)?)?;
    }
    if last >= available || count > available {
        return None;
    }
    let mut step = 1;
    let mut contiguous = true;
    for (&size, &stride) in shape.iter().zip(strides).rev() {
        // The stride of a dimension of one is never taken, and torch leaves anything there.
        contiguous &= size == 1 || stride == step;
        step *= size;
    }
    Some(if contiguous {
        Layout::Contiguous { first: offset }
    } else {
        let strides = shape.iter().zip(strides).map(|(&n, &step)| if n == 1 { 0 } else { step }).collect();
        Layout::Strided { first: offset, strides }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_stay_within_their_storage() {
        assert_eq!(layout(&[2, 3], &[3, 1], 0, 6), Some(Layout::Contiguous { first: 0 }));
        assert_eq!(layout(&[1, 3], &[77, 1], 3, 6), Some(Layout::Contiguous { first: 3 }));
        assert_eq!(layout(&[3, 2], &[1, 3], 0, 6), Some(Layout::Strided { first: 0, strides: vec![1, 3] }));
        assert_eq!(layout(&[], &[], 5, 6), Some(Layout::Contiguous { first: 5 }));
        assert_eq!(layout(&[0, 9], &[9, 1], 6, 6), Some(Layout::Contiguous { first: 6 }));
        assert_eq!(layout(&[2, 3], &[3, 1], 1, 6), None);
        assert_eq!(layout(&[7], &[0], 0, 6), None);
        assert_eq!(layout(&[2], &[u64::MAX], 0, 6), None);
        assert_eq!(layout(&[u64::MAX, u64::MAX], &[0, 0], 0, 6), None);
        assert_eq!(layout(&[u64::MAX, 2, 0], &[0, 0, 0], 0, 6), None);
        assert_eq!(layout(&[1], &[1], u64::MAX, 6), None);
        assert_eq!(layout(&[0], &[1], 7, 6), None);
    }
}
