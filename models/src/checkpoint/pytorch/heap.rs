//! The values a pickle builds.
//!
//! They refer to each other by number instead of by pointer: a pickle may nest a million tuples or put a list into itself,
//! and neither must cost stack when the values are dropped.

use safetensors::Dtype;

use super::{global::Global, pickle::PickleFault};

/// Values held by all containers together; a state dict needs about 25 a tensor.
const MAX_VALUES: usize = 1 << 21;

/// Tensors and storages, each.
const MAX_TENSORS: usize = 1 << 17;

/// A value on the stack of the machine.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    None,
    Bool,
    Int(i64),
    Float,
    Text(&'a str),
    Tuple(usize),
    List(usize),
    Dict(usize),
    Global(Global),
    Storage(usize),
    Tensor(usize),
}

impl Value<'_> {
    /// What it is, for messages.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool => "a bool",
            Self::Int(_) => "an int",
            Self::Float => "a float",
            Self::Text(_) => "a string",
            Self::Tuple(_) => "a tuple",
            Self::List(_) => "a list",
            Self::Dict(_) => "a dictionary",
            Self::Global(_) => "a class or function",
            Self::Storage(_) => "a storage",
            Self::Tensor(_) => "a tensor",
        }
    }
}

/// A `dict` or an `OrderedDict`, as the pairs that were set.
#[derive(Debug, Default)]
pub(super) struct Dict<'a> {
    /// Whether it is an `OrderedDict`, which alone has attributes.
    pub(super) ordered: bool,
    pub(super) pairs: Vec<(Value<'a>, Value<'a>)>,
}

/// What a persistent id says of a storage. Unchecked but for types.
#[derive(Debug)]
pub(super) struct StorageId<'a> {
    pub(super) dtype: Dtype,
    pub(super) key: &'a str,
    pub(super) elements: i64,
}

/// What `_rebuild_tensor_v2` is given. Unchecked but for types and number of dimensions.
#[derive(Debug)]
pub(super) struct RawTensor {
    pub(super) storage: usize,
    pub(super) offset: i64,
    pub(super) sizes: Vec<i64>,
    pub(super) strides: Vec<i64>,
}

/// Everything a pickle has built so far.
#[derive(Debug, Default)]
pub(super) struct Heap<'a> {
    sequences: Vec<Vec<Value<'a>>>,
    dicts: Vec<Dict<'a>>,
    storages: Vec<StorageId<'a>>,
    tensors: Vec<RawTensor>,
    values: usize,
}

impl<'a> Heap<'a> {
    fn charge(&mut self, values: usize) -> Result<(), PickleFault> {
        self.values += values;
        limit(self.values, MAX_VALUES, "values in containers")
    }

    /// Stores the items of a tuple or list.
    pub(super) fn sequence(&mut self, items: Vec<Value<'a>>) -> Result<usize, PickleFault> {
        self.charge(items.len() + 1)?;
        self.sequences.push(items);
        Ok(self.sequences.len() - 1)
    }

    pub(super) fn extend_list(&mut self, list: usize, items: Vec<Value<'a>>) -> Result<(), PickleFault> {
        self.charge(items.len())?;
        self.sequences[list].extend(items);
        Ok(())
    }

    pub(super) fn new_dict(&mut self, ordered: bool) -> Result<usize, PickleFault> {
        self.charge(1)?;
        self.dicts.push(Dict { ordered, pairs: Vec::new() });
        Ok(self.dicts.len() - 1)
    }

    pub(super) fn extend_dict(&mut self, dict: usize, items: &[Value<'a>]) -> Result<(), PickleFault> {
        self.charge(items.len())?;
        self.dicts[dict].pairs.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1])));
        Ok(())
    }

    pub(super) fn storage(&mut self, id: StorageId<'a>) -> Result<usize, PickleFault> {
        limit(self.storages.len() + 1, MAX_TENSORS, "storages")?;
        self.storages.push(id);
        Ok(self.storages.len() - 1)
    }

    pub(super) fn tensor(&mut self, tensor: RawTensor) -> Result<usize, PickleFault> {
        limit(self.tensors.len() + 1, MAX_TENSORS, "tensors")?;
        self.tensors.push(tensor);
        Ok(self.tensors.len() - 1)
    }

    pub(super) fn items(&self, sequence: usize) -> &[Value<'a>] {
        &self.sequences[sequence]
    }

    pub(super) fn dict(&self, dict: usize) -> &Dict<'a> {
        &self.dicts[dict]
    }

    pub(super) fn storage_id(&self, storage: usize) -> &StorageId<'a> {
        &self.storages[storage]
    }

    pub(super) fn raw_tensor(&self, tensor: usize) -> &RawTensor {
        &self.tensors[tensor]
    }
}

/// An error once `count` is beyond `limit`.
pub(super) fn limit(count: usize, limit: usize, what: &'static str) -> Result<(), PickleFault> {
    if count > limit { Err(PickleFault::Limit { what, limit }) } else { Ok(()) }
}
