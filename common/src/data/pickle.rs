//! A restricted pickle reader: values and arrays of bytes, as Python 2 wrote them into the official
//! CIFAR-10 batches, and dictionaries of tensors, as PyTorch writes them. A pickle is a program; this
//! one knows only the instructions that build such data, calls nothing, and refuses everything else
//! by name.
//!
//! Source: the instructions as Python's `Lib/pickletools.py` describes them, protocol 2.

use std::collections::HashMap;

mod objects;

use self::objects::Global;
pub use self::objects::{Element, StoredTensor};

/// Why a pickle was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PickleError {
    /// It ends before its STOP instruction.
    #[error("pickle ends too early, at byte {0}")]
    Short(usize),
    /// An instruction that data does not need.
    #[error(
        "pickle instruction 0x{code:02x} at byte {at}, which plain data does not need: refused"
    )]
    Instruction {
        /// The instruction.
        code: u8,
        /// Where it stands.
        at: usize,
    },
    /// It asks for an object that is not data.
    #[error("pickle names `{0}`, which is not plain data: refused")]
    Global(String),
    /// Its instructions do not fit together.
    #[error("pickle is broken at byte {at}: {what}")]
    Broken {
        /// Where.
        at: usize,
        /// In what way.
        what: &'static str,
    },
}

/// A value of the pickle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id(usize);

#[derive(Clone, Debug)]
enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float,
    /// A string, as its range in the input.
    Bytes(usize, usize),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(Global),
    /// An array that is still to be filled by BUILD.
    EmptyArray,
    /// `numpy.dtype` of this name.
    Dtype(Id),
    /// Shape and content of an array of unsigned bytes.
    Array(Vec<usize>, Id),
    /// Numbers that lie beside the pickle: what they are, under which name, how many.
    Storage(Element, Id, usize),
    /// Offset, shape and strides, in elements, of a tensor within a storage.
    Tensor(Id, usize, Vec<usize>, Vec<usize>),
}

/// A pickle that was read: its values, of which one is the result.
#[derive(Debug)]
pub struct Pickle<'a> {
    bytes: &'a [u8],
    values: Vec<Value>,
    root: Id,
}

impl<'a> Pickle<'a> {
    /// Reads a pickle.
    ///
    /// # Errors
    /// Anything but plain data, see [`PickleError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PickleError> {
        let mut machine = Machine { bytes, at: 0, ..Machine::default() };
        let root = machine.run()?;
        Ok(Self { bytes, values: machine.values, root })
    }

    /// The value at `key` of the dictionary that is the pickle's result.
    pub fn get(&self, key: &str) -> Option<Id> {
        let Value::Dict(pairs) = self.value(self.root) else { return None };
        pairs.iter().rev().find(|(k, _)| self.bytes(*k) == Some(key.as_bytes())).map(|(_, v)| *v)
    }

    /// The bytes of a string.
    pub fn bytes(&self, id: Id) -> Option<&'a [u8]> {
        match self.value(id) {
            Value::Bytes(from, to) => Some(&self.bytes[*from..*to]),
            _ => None,
        }
    }

    /// The numbers of a list that holds nothing else.
    pub fn ints(&self, id: Id) -> Option<Vec<i64>> {
        let Value::List(items) = self.value(id) else { return None };
        let int = |id: &Id| match self.value(*id) {
            Value::Int(i) => Some(*i),
            _ => None,
        };
        items.iter().map(int).collect()
    }

    /// Shape and content (last dimension fastest) of an array of unsigned bytes.
    pub fn bytes_array(&self, id: Id) -> Option<(&[usize], &'a [u8])> {
        match self.value(id) {
            Value::Array(shape, content) => Some((shape, self.bytes(*content)?)),
            _ => None,
        }
    }

    /// Keys and values of the dictionary that is the pickle's result, in its order; `None` for another
    /// result, or keys that are no text.
    pub fn entries(&self) -> Option<Vec<(&'a str, Id)>> {
        let Value::Dict(pairs) = self.value(self.root) else { return None };
        let text = |id: Id| std::str::from_utf8(self.bytes(id)?).ok();
        pairs.iter().map(|(key, value)| Some((text(*key)?, *value))).collect()
    }

    /// A tensor: where its numbers are.
    pub fn tensor(&self, id: Id) -> Option<StoredTensor<'_>> {
        let Value::Tensor(storage, offset, shape, strides) = self.value(id) else { return None };
        let Value::Storage(element, key, len) = self.value(*storage) else { return None };
        let storage = std::str::from_utf8(self.bytes(*key)?).ok()?;
        let (element, len, offset) = (*element, *len, *offset);
        Some(StoredTensor { element, storage, len, offset, shape, strides })
    }

    /// What a value is, for messages.
    pub fn what(&self, id: Id) -> &'static str {
        match self.value(id) {
            Value::None => "nothing",
            Value::Bool(_) | Value::Int(_) | Value::Float => "a number",
            Value::Bytes(..) => "text",
            Value::List(_) | Value::Tuple(_) => "a list",
            Value::Dict(_) => "a dictionary",
            Value::EmptyArray | Value::Array(..) => "an array of numpy's",
            Value::Global(_) | Value::Dtype(_) | Value::Storage(..) => "a part of a tensor",
            Value::Tensor(..) => "a tensor",
        }
    }

    fn value(&self, id: Id) -> &Value {
        &self.values[id.0]
    }
}

/// The stack machine that a pickle is a program for.
#[derive(Default)]
struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack at the MARKs.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Result<Id, PickleError> {
        loop {
            let at = self.at;
            let code = self.take(1)?[0];
            match code {
                b'.' => return self.pop(), // STOP
                0x80 => self.protocol()?,
                b'(' => self.marks.push(self.stack.len()),
                b'N' => self.push(Value::None),
                0x88 => self.push(Value::Bool(true)),
                0x89 => self.push(Value::Bool(false)),
                b'K' => self.int::<1>()?, // BININT1
                b'M' => self.int::<2>()?, // BININT2
                b'J' => {
                    let int = i32::from_le_bytes(self.array()?); // BININT
                    self.push(Value::Int(i64::from(int)));
                }
                0x8a => self.long()?, // LONG1
                b'G' => {
                    self.take(8)?; // BINFLOAT; no reader wants its value
                    self.push(Value::Float);
                }
                b'U' => self.string::<1>()?,        // SHORT_BINSTRING
                b'T' | b'X' => self.string::<4>()?, // BINSTRING, BINUNICODE
                b']' => self.push(Value::List(Vec::new())),
                b'}' => self.push(Value::Dict(Vec::new())),
                b')' => self.push(Value::Tuple(Vec::new())),
                0x85..=0x87 => self.short_tuple(usize::from(code - 0x84))?, // TUPLE1..TUPLE3
                b't' => {
                    let items = self.since_mark()?;
                    self.push(Value::Tuple(items));
                }
                b'a' => {
                    let item = self.pop()?; // APPEND
                    self.append(vec![item])?;
                }
                b'e' => {
                    let items = self.since_mark()?; // APPENDS
                    self.append(items)?;
                }
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?); // SETITEM
                    self.set_items(&[key, value])?;
                }
                b'u' => {
                    let items = self.since_mark()?; // SETITEMS
                    self.set_items(&items)?;
                }
                b'q' => {
                    let place = u32::from(self.take(1)?[0]); // BINPUT
                    self.put(place)?;
                }
                b'r' => {
                    let place = u32::from_le_bytes(self.array()?); // LONG_BINPUT
                    self.put(place)?;
                }
                b'h' => {
                    let place = u32::from(self.take(1)?[0]); // BINGET
                    self.get(place)?;
                }
                b'j' => {
                    let place = u32::from_le_bytes(self.array()?); // LONG_BINGET
                    self.get(place)?;
                }
                b'c' => self.global()?,
                b'R' => self.reduce()?,
                b'b' => self.build()?,
                b'Q' => self.storage()?, // BINPERSID
                _ => return Err(PickleError::Instruction { code, at }),
            }
        }
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], PickleError> {
        let end = self.at.checked_add(n).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or(PickleError::Short(self.at))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        Ok(self.take(N)?.try_into().expect("as many as were asked for"))
    }

    fn broken<T>(&self, what: &'static str) -> Result<T, PickleError> {
        Err(PickleError::Broken { at: self.at, what })
    }

    fn push(&mut self, value: Value) {
        self.values.push(value);
        self.stack.push(Id(self.values.len() - 1));
    }

    fn pop(&mut self) -> Result<Id, PickleError> {
        if self.marks.last() == Some(&self.stack.len()) {
            return self.broken("a MARK where a value should be");
        }
        self.stack.pop().ok_or(PickleError::Broken { at: self.at, what: "the stack is empty" })
    }

    fn since_mark(&mut self) -> Result<Vec<Id>, PickleError> {
        let mark = self.marks.pop();
        let mark = mark.ok_or(PickleError::Broken { at: self.at, what: "no MARK" })?;
        Ok(self.stack.split_off(mark))
    }

    fn protocol(&mut self) -> Result<(), PickleError> {
        if self.take(1)?[0] > 2 { self.broken("a protocol above 2") } else { Ok(()) }
    }

    /// An unsigned little-endian number of `N` bytes.
    fn int<const N: usize>(&mut self) -> Result<(), PickleError> {
        let int = little_endian(self.take(N)?);
        self.push(Value::Int(int as i64));
        Ok(())
    }

    /// A signed little-endian number after its length in bytes.
    fn long(&mut self) -> Result<(), PickleError> {
        let n = usize::from(self.take(1)?[0]);
        let bytes = self.take(n)?;
        if n > 8 {
            return self.broken("a number of more than 64 bits");
        }
        let fill = if bytes.last().is_some_and(|last| last & 0x80 != 0) { 0xff } else { 0 };
        let mut whole = [fill; 8];
        whole[..n].copy_from_slice(bytes);
        self.push(Value::Int(i64::from_le_bytes(whole)));
        Ok(())
    }

    /// A string after its length in `N` bytes.
    fn string<const N: usize>(&mut self) -> Result<(), PickleError> {
        let length = little_endian(self.take(N)?);
        let from = self.at;
        self.take(length)?;
        self.push(Value::Bytes(from, from + length));
        Ok(())
    }

    fn short_tuple(&mut self, n: usize) -> Result<(), PickleError> {
        let mut items = (0..n).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
        items.reverse();
        self.push(Value::Tuple(items));
        Ok(())
    }

    fn append(&mut self, items: Vec<Id>) -> Result<(), PickleError> {
        match self.stack.last().map(|id| &mut self.values[id.0]) {
            Some(Value::List(list)) => list.extend(items),
            _ => return self.broken("appending to what is no list"),
        }
        Ok(())
    }

    fn set_items(&mut self, items: &[Id]) -> Result<(), PickleError> {
        if !items.len().is_multiple_of(2) {
            return self.broken("a key without a value");
        }
        match self.stack.last().map(|id| &mut self.values[id.0]) {
            Some(Value::Dict(pairs)) => pairs.extend(items.chunks_exact(2).map(|p| (p[0], p[1]))),
            _ => return self.broken("setting items of what is no dictionary"),
        }
        Ok(())
    }

    fn put(&mut self, place: u32) -> Result<(), PickleError> {
        let Some(top) = self.stack.last() else { return self.broken("nothing to remember") };
        self.memo.insert(place, *top);
        Ok(())
    }

    fn get(&mut self, place: u32) -> Result<(), PickleError> {
        let Some(id) = self.memo.get(&place) else { return self.broken("nothing remembered") };
        self.stack.push(*id);
        Ok(())
    }

    fn line(&mut self) -> Result<String, PickleError> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|b| *b == b'\n').ok_or(PickleError::Short(self.at))?;
        let line = self.take(end + 1)?;
        Ok(String::from_utf8_lossy(&line[..end]).into_owned())
    }
}

fn little_endian(bytes: &[u8]) -> usize {
    bytes.iter().rev().fold(0, |n, b| n << 8 | usize::from(*b))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by `tests/oracle/cifar10_pickle.py`.
    const BATCH: &[u8] = include_bytes!("../../tests/fixtures/cifar10_batch.pickle");

    #[test]
    fn a_batch_reads_as_python_reads_it() {
        let pickle = Pickle::parse(BATCH).unwrap();
        let labels = pickle.ints(pickle.get("labels").unwrap()).unwrap();
        assert_eq!(labels, (0..12).map(|i| i * 7 % 10).collect::<Vec<i64>>());
        let (shape, data) = pickle.bytes_array(pickle.get("data").unwrap()).unwrap();
        assert_eq!(shape, [12, 48]);
        // As the script printed them.
        assert_eq!(data.iter().map(|b| u32::from(*b)).sum::<u32>(), 69_660);
        assert_eq!(data[3 * 48 + 5], 159);
        let label = pickle.get("batch_label").unwrap();
        assert_eq!(pickle.bytes(label), Some(b"training batch 1 of 5".as_slice()));
        assert_eq!(pickle.get("nothing"), None);
    }

    #[test]
    fn every_prefix_of_a_batch_is_refused_without_a_panic() {
        for n in 0..BATCH.len() {
            assert!(Pickle::parse(&BATCH[..n]).is_err(), "{n} bytes");
        }
    }

    #[test]
    fn changing_any_byte_never_panics() {
        let mut bytes = BATCH.to_vec();
        for i in 0..bytes.len() {
            for value in [0, b'.', b'R', b'b', 0xff] {
                let before = std::mem::replace(&mut bytes[i], value);
                drop(Pickle::parse(&bytes));
                bytes[i] = before;
            }
        }
    }

    #[test]
    fn a_pickle_that_would_run_something_is_refused_by_name() {
        let error = Pickle::parse(b"cposix\nsystem\n(U\x02idtR.").unwrap_err();
        assert_eq!(error, PickleError::Global("posix system".into()));
        assert_eq!(
            error.to_string(),
            "pickle names `posix system`, which is not plain data: refused"
        );
        // INST, OBJ, PERSID, EXT1, NEWOBJ, FRAME, STACK_GLOBAL.
        for code in [b'i', b'o', b'P', 0x82, 0x81, 0x95, 0x93] {
            let error = Pickle::parse(&[0x80, 2, b'}', code, 0, 0]).unwrap_err();
            assert_eq!(error, PickleError::Instruction { code, at: 3 });
        }
    }

    #[test]
    fn only_arrays_of_bytes_that_fit_their_shape_are_built() {
        let text = |bytes: &[u8]| Pickle::parse(bytes).map(|_| ()).unwrap_err().to_string();
        let find = |what: &[u8]| BATCH.windows(what.len()).position(|w| w == what).unwrap();
        let mut other = BATCH.to_vec();
        other[find(b"K\x0cK\x30\x86") + 1] = 13; // 13 rows of 48
        assert!(text(&other).contains("shape does not fit"), "{}", text(&other));
        let mut other = BATCH.to_vec();
        other[find(b"U\x02u1") + 3] = b'2'; // two bytes an element
        assert!(text(&other).contains("not of plain unsigned bytes"), "{}", text(&other));
    }
}
