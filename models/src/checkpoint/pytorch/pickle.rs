//! A machine for the part of pickle that `torch.save` uses.
//!
//! Opcodes: <https://github.com/python/cpython/blob/main/Lib/pickletools.py>. Those that make or change objects of arbitrary
//! classes (`INST`, `OBJ`, `NEWOBJ`, extensions) are not among them.

use std::collections::HashMap;

use thiserror::Error;

use super::{
    global::Global,
    heap::{Heap, RawTensor, StorageId, Value, limit},
};
use crate::checkpoint::tensor::MAX_RANK;

/// Values on the stack at once. Python writes the items of a container a thousand at a time.
const MAX_STACK: usize = 1 << 16;

/// Values remembered for later use; torch remembers about seven a tensor.
const MAX_MEMO: usize = 1 << 20;

/// The newest protocol there is.
const MAX_PROTOCOL: u8 = 5;

/// What is wrong with a pickle, at which of its bytes.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PickleFault {
    /// The pickle ends within an instruction, or without its last one.
    #[error("ends at byte {at}, within an instruction")]
    Truncated {
        /// The byte.
        at: usize,
    },
    /// An instruction that state dicts do not use.
    #[error("byte {at}: instruction {opcode:#04x} is not allowed")]
    Opcode {
        /// The instruction.
        opcode: u8,
        /// Its byte.
        at: usize,
    },
    /// A class or function that is not on the allow-list. It was not loaded.
    #[error("byte {at}: asks for {module}.{name}, which is not allowed; nothing was run")]
    Global {
        /// Its module.
        module: String,
        /// Its name.
        name: String,
        /// Where it is named.
        at: usize,
    },
    /// A call other than those that rebuild tensors. It was not made.
    #[error("byte {at}: a call of {callee} that does not rebuild a tensor; nothing was run")]
    Call {
        /// What is called.
        callee: String,
        /// The byte.
        at: usize,
    },
    /// Attributes set on something, other than the metadata of a state dict.
    #[error("byte {at}: sets attributes of {object} from {state}, which is not allowed")]
    Build {
        /// What they are set on.
        object: &'static str,
        /// From what.
        state: &'static str,
        /// The byte.
        at: usize,
    },
    /// An operand has another type or value than it must.
    #[error("byte {at}: {found} where {expected} is needed")]
    Operand {
        /// What it must be.
        expected: &'static str,
        /// What it is.
        found: String,
        /// The byte.
        at: usize,
    },
    /// The stack is empty, or holds no mark.
    #[error("byte {at}: the stack has no {missing}")]
    Stack {
        /// What it lacks.
        missing: &'static str,
        /// The byte.
        at: usize,
    },
    /// More of something than any model has.
    #[error("more than {limit} {what}")]
    Limit {
        /// Of what.
        what: &'static str,
        /// How many are read.
        limit: usize,
    },
    /// Bytes after the last instruction.
    #[error("{excess} bytes follow the end at byte {at}")]
    Trailing {
        /// How many.
        excess: usize,
        /// Where the pickle ends.
        at: usize,
    },
}

/// Runs a pickle; gives the value it ends with and what that refers to.
pub(super) fn read(bytes: &[u8]) -> Result<(Value<'_>, Heap<'_>), PickleFault> {
    let mut machine = Machine { bytes, ..Machine::default() };
    loop {
        if let Some(root) = machine.step()? {
            let at = machine.at;
            return match bytes.len() - at {
                0 => Ok((root, machine.heap)),
                excess => Err(PickleFault::Trailing { excess, at }),
            };
        }
    }
}

#[derive(Default)]
struct Machine<'a> {
    bytes: &'a [u8],
    /// The next byte.
    at: usize,
    /// Where the current instruction starts, for messages.
    start: usize,
    stack: Vec<Value<'a>>,
    /// Heights of the stack at the marks set so far. What is below the last one is out of reach.
    marks: Vec<usize>,
    memo: HashMap<u32, Value<'a>>,
    heap: Heap<'a>,
}

impl<'a> Machine<'a> {
    /// Runs one instruction; gives the result if it was the last.
    fn step(&mut self) -> Result<Option<Value<'a>>, PickleFault> {
        self.start = self.at;
        let opcode = self.byte()?;
        let value = match opcode {
            // PROTO
            0x80 => {
                let version = self.byte()?;
                if version > MAX_PROTOCOL {
                    return Err(self.operand("a protocol up to 5", version.to_string()));
                }
                return Ok(None);
            }
            // FRAME: how much a streaming reader should fetch, of no use with the whole in memory.
            0x95 => {
                let len = u64::from_le_bytes(self.array()?);
                if len > (self.bytes.len() - self.at) as u64 {
                    return Err(PickleFault::Truncated { at: self.bytes.len() });
                }
                return Ok(None);
            }
            b'.' => return self.pop().map(Some),
            b'(' => {
                limit(self.marks.len() + 1, MAX_STACK, "marks")?;
                self.marks.push(self.stack.len());
                return Ok(None);
            }
            b'0' => {
                self.pop()?;
                return Ok(None);
            }
            b'1' => {
                self.pop_to_mark()?;
                return Ok(None);
            }
            b'2' => self.top()?,
            b'N' => Value::None,
            0x88 | 0x89 => Value::Bool,
            b'J' => Value::Int(i32::from_le_bytes(self.array()?).into()),
            b'K' => Value::Int(self.byte()?.into()),
            b'M' => Value::Int(u16::from_le_bytes(self.array()?).into()),
            // LONG1
            0x8a => self.long()?,
            b'G' => {
                self.array::<8>()?;
                Value::Float
            }
            // SHORT_BINSTRING, SHORT_BINUNICODE
            b'U' | 0x8c => {
                let len = self.byte()?;
                self.text(len.into())?
            }
            // BINSTRING, BINUNICODE
            b'T' | b'X' => {
                let len = u32::from_le_bytes(self.array()?);
                self.text(len.into())?
            }
            // BINUNICODE8
            0x8d => {
                let len = u64::from_le_bytes(self.array()?);
                self.text(len)?
            }
            b')' => self.tuple(Vec::new())?,
            0x85..=0x87 => {
                let items = self.pop_many(usize::from(opcode - 0x84))?;
                self.tuple(items)?
            }
            b't' => {
                let items = self.pop_to_mark()?;
                self.tuple(items)?
            }
            b']' => Value::List(self.heap.sequence(Vec::new())?),
            b'l' => {
                let items = self.pop_to_mark()?;
                Value::List(self.heap.sequence(items)?)
            }
            b'}' => Value::Dict(self.heap.new_dict(false)?),
            b'a' | b'e' => return self.append(opcode == b'e').map(|()| None),
            b's' | b'u' => return self.set_items(opcode == b'u').map(|()| None),
            // BINPUT, LONG_BINPUT, MEMOIZE
            b'q' => {
                let slot = self.byte()?.into();
                return self.remember(slot).map(|()| None);
            }
            b'r' => {
                let slot = u32::from_le_bytes(self.array()?);
                return self.remember(slot).map(|()| None);
            }
            0x94 => {
                let slot = self.memo.len() as u32;
                return self.remember(slot).map(|()| None);
            }
            // BINGET, LONG_BINGET
            b'h' => {
                let slot = self.byte()?.into();
                self.recall(slot)?
            }
            b'j' => {
                let slot = u32::from_le_bytes(self.array()?);
                self.recall(slot)?
            }
            // GLOBAL, STACK_GLOBAL
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(module, name)?
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (module, name) {
                    (Value::Text(module), Value::Text(name)) => self.global(module, name)?,
                    (module, name) => {
                        return Err(self.operand(
                            "a module and a name",
                            format!("{} and {}", module.kind(), name.kind()),
                        ));
                    }
                }
            }
            // INST names its class, which makes for a better message than its number.
            b'i' => {
                let (module, name) = (self.line()?, self.line()?);
                return Err(self.refused_global(module, name));
            }
            b'Q' => self.persistent_storage()?,
            b'R' => self.reduce()?,
            b'b' => return self.build().map(|()| None),
            _ => return Err(PickleFault::Opcode { opcode, at: self.start }),
        };
        self.push(value)?;
        Ok(None)
    }

    fn operand(&self, expected: &'static str, found: impl Into<String>) -> PickleFault {
        PickleFault::Operand { expected, found: found.into(), at: self.start }
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], PickleFault> {
        let rest = &self.bytes[self.at..];
        let len = usize::try_from(len).ok().filter(|&len| len <= rest.len());
        let len = len.ok_or(PickleFault::Truncated { at: self.bytes.len() })?;
        self.at += len;
        Ok(&rest[..len])
    }

    fn byte(&mut self) -> Result<u8, PickleFault> {
        Ok(self.array::<1>()?[0])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleFault> {
        Ok(self.take(N as u64)?.try_into().expect("as many bytes were taken"))
    }

    fn utf8(&self, bytes: &'a [u8]) -> Result<&'a str, PickleFault> {
        std::str::from_utf8(bytes).map_err(|source| self.operand("text in UTF-8", source.to_string()))
    }

    fn text(&mut self, len: u64) -> Result<Value<'a>, PickleFault> {
        let bytes = self.take(len)?;
        self.utf8(bytes).map(Value::Text)
    }

    /// The operand of an old opcode: the rest of the line.
    fn line(&mut self) -> Result<&'a str, PickleFault> {
        let rest = &self.bytes[self.at..];
        let end =
            rest.iter().position(|&b| b == b'\n').ok_or(PickleFault::Truncated { at: self.bytes.len() })?;
        self.at += end + 1;
        self.utf8(&rest[..end])
    }

    /// A little-endian two's-complement number of as many bytes as the next byte says.
    fn long(&mut self) -> Result<Value<'a>, PickleFault> {
        let len = self.byte()?;
        let bytes = self.take(len.into())?;
        if bytes.len() > 8 {
            return Err(self.operand("an int of 64 bits", format!("one of {} bytes", bytes.len())));
        }
        let negative = bytes.last().is_some_and(|&b| b >= 0x80);
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        Ok(Value::Int(i64::from_le_bytes(wide)))
    }

    fn push(&mut self, value: Value<'a>) -> Result<(), PickleFault> {
        limit(self.stack.len() + 1, MAX_STACK, "values on the stack")?;
        self.stack.push(value);
        Ok(())
    }

    fn top(&self) -> Result<Value<'a>, PickleFault> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let missing = PickleFault::Stack { missing: "value", at: self.start };
        self.stack[floor..].last().copied().ok_or(missing)
    }

    fn pop(&mut self) -> Result<Value<'a>, PickleFault> {
        let value = self.top()?;
        self.stack.pop();
        Ok(value)
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<Value<'a>>, PickleFault> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.len().checked_sub(count) {
            Some(from) if from >= floor => Ok(self.stack.split_off(from)),
            _ => Err(PickleFault::Stack { missing: "value", at: self.start }),
        }
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value<'a>>, PickleFault> {
        let mark = self.marks.pop().ok_or(PickleFault::Stack { missing: "mark", at: self.start })?;
        // No instruction pops below the last mark, so the stack is at least that high.
        Ok(self.stack.split_off(mark))
    }

    fn tuple(&mut self, items: Vec<Value<'a>>) -> Result<Value<'a>, PickleFault> {
        self.heap.sequence(items).map(Value::Tuple)
    }

    fn append(&mut self, many: bool) -> Result<(), PickleFault> {
        let items = if many { self.pop_to_mark()? } else { self.pop_many(1)? };
        match self.top()? {
            Value::List(list) => self.heap.extend_list(list, items),
            other => Err(self.operand("a list", other.kind())),
        }
    }

    fn set_items(&mut self, many: bool) -> Result<(), PickleFault> {
        let items = if many { self.pop_to_mark()? } else { self.pop_many(2)? };
        if items.len() % 2 != 0 {
            return Err(self.operand("pairs of key and value", format!("{} values", items.len())));
        }
        match self.top()? {
            Value::Dict(dict) => self.heap.extend_dict(dict, &items),
            other => Err(self.operand("a dictionary", other.kind())),
        }
    }

    fn remember(&mut self, slot: u32) -> Result<(), PickleFault> {
        let value = self.top()?;
        self.memo.insert(slot, value);
        limit(self.memo.len(), MAX_MEMO, "values in the memo")
    }

    fn recall(&mut self, slot: u32) -> Result<Value<'a>, PickleFault> {
        self.memo
            .get(&slot)
            .copied()
            .ok_or_else(|| self.operand("a filled place of the memo", slot.to_string()))
    }

    fn global(&self, module: &str, name: &str) -> Result<Value<'a>, PickleFault> {
        Global::find(module, name).map(Value::Global).ok_or_else(|| self.refused_global(module, name))
    }

    fn refused_global(&self, module: &str, name: &str) -> PickleFault {
        // A hostile name may be as long as the file.
        let short = |text: &str| text.chars().take(120).collect();
        PickleFault::Global { module: short(module), name: short(name), at: self.start }
    }

    /// `BINPERSID`: torch writes `("storage", torch.FloatStorage, "0", "cpu", 270336)`.
    fn persistent_storage(&mut self) -> Result<Value<'a>, PickleFault> {
        let id = self.pop()?;
        let fields = match id {
            Value::Tuple(id) => self.heap.items(id),
            _ => &[],
        };
        match *fields {
            [
                Value::Text("storage"),
                Value::Global(Global::Storage(dtype)),
                Value::Text(key),
                Value::Text(_),
                Value::Int(elements),
            ] if !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') => {
                self.heap.storage(StorageId { dtype, key, elements }).map(Value::Storage)
            }
            _ => Err(self.operand("the id of a storage", id.kind())),
        }
    }

    /// `REDUCE`: one of the three calls a state dict is made of.
    fn reduce(&mut self) -> Result<Value<'a>, PickleFault> {
        let (arguments, callee) = (self.pop()?, self.pop()?);
        let Value::Tuple(tuple) = arguments else {
            return Err(self.operand("a tuple of arguments", arguments.kind()));
        };
        let hooks_are_empty = |hooks: Value<'a>| match hooks {
            Value::Dict(hooks) => self.heap.dict(hooks).pairs.is_empty(),
            hooks => matches!(hooks, Value::None),
        };
        match (callee, self.heap.items(tuple)) {
            (Value::Global(Global::OrderedDict), []) => self.heap.new_dict(true).map(Value::Dict),
            (Value::Global(Global::RebuildParameter), &[tensor @ Value::Tensor(_), Value::Bool, hooks])
                if hooks_are_empty(hooks) =>
            {
                Ok(tensor)
            }
            (
                Value::Global(Global::RebuildTensor),
                &[
                    Value::Storage(storage),
                    Value::Int(offset),
                    Value::Tuple(sizes),
                    Value::Tuple(strides),
                    Value::Bool,
                    hooks,
                    ref rest @ ..,
                ],
            ) if hooks_are_empty(hooks) && matches!(rest, [] | [Value::None]) => {
                let (sizes, strides) = (self.ints(sizes)?, self.ints(strides)?);
                self.heap.tensor(RawTensor { storage, offset, sizes, strides }).map(Value::Tensor)
            }
            (callee, _) => {
                let callee = match callee {
                    Value::Global(global) => format!("{global:?}"),
                    other => other.kind().to_owned(),
                };
                Err(PickleFault::Call { callee, at: self.start })
            }
        }
    }

    fn ints(&self, tuple: usize) -> Result<Vec<i64>, PickleFault> {
        let items = self.heap.items(tuple);
        limit(items.len(), MAX_RANK, "dimensions")?;
        let int = |item: &Value<'a>| match *item {
            Value::Int(value) => Ok(value),
            other => Err(self.operand("a tuple of ints", other.kind())),
        };
        items.iter().map(int).collect()
    }

    /// `BUILD`: transformers leaves the versions of modules in an attribute of the state dict. They are dropped.
    fn build(&mut self) -> Result<(), PickleFault> {
        let (state, object) = (self.pop()?, self.top()?);
        let metadata_only = match state {
            Value::Dict(state) => {
                self.heap.dict(state).pairs.iter().all(|(key, _)| matches!(key, Value::Text("_metadata")))
            }
            _ => false,
        };
        let ordered = matches!(object, Value::Dict(dict) if self.heap.dict(dict).ordered);
        if metadata_only && ordered {
            return Ok(());
        }
        Err(PickleFault::Build { object: object.kind(), state: state.kind(), at: self.start })
    }
}
