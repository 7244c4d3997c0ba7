//! A restricted pickle reader: values and arrays of bytes, as Python 2 wrote them into the official
//! CIFAR-10 batches. A pickle is a program; this one knows only the instructions that build such
//! data, calls nothing, and refuses everything else by name.
//!
//! Source: the instructions as Python's `Lib/pickletools.py` describes them, protocol 2.

use std::collections::HashMap;

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
    /// Range in the input.
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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Global {
    Reconstruct,
    NdArray,
    Dtype,
}

const GLOBALS: [(&str, Global); 3] = [
    ("numpy.core.multiarray _reconstruct", Global::Reconstruct),
    ("numpy ndarray", Global::NdArray),
    ("numpy dtype", Global::Dtype),
];

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
                b'U' => self.string::<1>()?, // SHORT_BINSTRING
                b'T' => self.string::<4>()?, // BINSTRING
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

    fn global(&mut self) -> Result<(), PickleError> {
        let name = format!("{} {}", self.line()?, self.line()?);
        match GLOBALS.iter().find(|(known, _)| *known == name) {
            Some((_, global)) => self.push(Value::Global(*global)),
            None => return Err(PickleError::Global(name)),
        }
        Ok(())
    }

    /// Only the two calls numpy's pickles make: `_reconstruct(ndarray, (0,), 'b')` and
    /// `dtype('u1', 0, 1)`.
    fn reduce(&mut self) -> Result<(), PickleError> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let value = |id: Id| &self.values[id.0];
        let Value::Tuple(arguments) = value(arguments) else {
            return self.broken("a call without a tuple of arguments");
        };
        let made = match (value(function), arguments.first().map(|a| (*a, value(*a)))) {
            (Value::Global(Global::Reconstruct), Some((_, Value::Global(Global::NdArray)))) => {
                Value::EmptyArray
            }
            (Value::Global(Global::Dtype), Some((name, Value::Bytes(..)))) => Value::Dtype(name),
            _ => return self.broken("a call of something else than an array or its type"),
        };
        self.push(made);
        Ok(())
    }

    /// The state of a type (which says nothing for bytes), or of an array:
    /// (version, shape, type, is Fortran's order, content).
    fn build(&mut self) -> Result<(), PickleError> {
        let (state, object) = (self.pop()?, self.pop()?);
        let value = |id: Id| &self.values[id.0];
        let Value::Tuple(state) = value(state) else {
            return self.broken("a state that is no tuple");
        };
        let built = match (value(object), state.as_slice()) {
            (dtype @ Value::Dtype(_), _) => dtype.clone(),
            (Value::EmptyArray, [_, shape, dtype, fortran, content]) => {
                match (value(*shape), value(*dtype), value(*fortran), value(*content)) {
                    (
                        Value::Tuple(shape),
                        Value::Dtype(dtype),
                        Value::Bool(false) | Value::Int(0),
                        Value::Bytes(from, to),
                    ) if self.is_byte(*dtype) => {
                        let dims: Option<Vec<usize>> = shape
                            .iter()
                            .map(|d| match value(*d) {
                                Value::Int(d) => usize::try_from(*d).ok(),
                                _ => None,
                            })
                            .collect();
                        let size = dims.as_ref().and_then(|dims| {
                            dims.iter().try_fold(1_usize, |size, d| size.checked_mul(*d))
                        });
                        match dims {
                            Some(dims) if size == Some(to - from) => Value::Array(dims, *content),
                            _ => {
                                return self
                                    .broken("an array whose shape does not fit its content");
                            }
                        }
                    }
                    _ => return self.broken("an array that is not of plain unsigned bytes"),
                }
            }
            _ => return self.broken("a state of something else than an array or its type"),
        };
        // The object is built in place: it may have been remembered before.
        self.values[object.0] = built;
        self.stack.push(object);
        Ok(())
    }

    fn is_byte(&self, dtype: Id) -> bool {
        matches!(&self.values[dtype.0], Value::Bytes(from, to) if &self.bytes[*from..*to] == b"u1")
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
        // INST, OBJ, BINUNICODE, LONG1, PERSID, EXT1, NEWOBJ, FRAME.
        for code in [b'i', b'o', b'X', 0x8a, b'P', 0x82, 0x81, 0x95] {
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
