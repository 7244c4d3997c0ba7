//! The objects that a pickle may name, and the calls that make them: numpy's arrays of bytes, PyTorch's
//! tensors.

use super::{Id, Machine, PickleError, Value};

/// What a pickle may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Global {
    Reconstruct,
    NdArray,
    Dtype,
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(Element),
}

const GLOBALS: [(&str, Global); 6] = [
    ("numpy.core.multiarray _reconstruct", Global::Reconstruct),
    ("numpy ndarray", Global::NdArray),
    ("numpy dtype", Global::Dtype),
    ("collections OrderedDict", Global::OrderedDict),
    ("torch._utils _rebuild_tensor_v2", Global::RebuildTensor),
    ("torch._utils _rebuild_parameter", Global::RebuildParameter),
];

/// What the numbers of a tensor are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// 64-bit floating point.
    F64,
    /// 32-bit floating point.
    F32,
    /// 16-bit floating point, IEEE.
    F16,
    /// 16-bit floating point with the range of 32 bits.
    BF16,
    /// 64-bit integers.
    I64,
    /// 32-bit integers.
    I32,
    /// 16-bit integers.
    I16,
    /// 8-bit integers.
    I8,
    /// Unsigned bytes.
    U8,
    /// Truth values, a byte each.
    Bool,
}

/// Source: PyTorch 2.13, `torch/storage.py`, `_dtype_to_storage_type_map`.
const STORAGES: [(&str, Element); 10] = [
    ("torch DoubleStorage", Element::F64),
    ("torch FloatStorage", Element::F32),
    ("torch HalfStorage", Element::F16),
    ("torch BFloat16Storage", Element::BF16),
    ("torch LongStorage", Element::I64),
    ("torch IntStorage", Element::I32),
    ("torch ShortStorage", Element::I16),
    ("torch CharStorage", Element::I8),
    ("torch ByteStorage", Element::U8),
    ("torch BoolStorage", Element::Bool),
];

/// A tensor whose numbers lie beside the pickle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredTensor<'a> {
    /// What the numbers are.
    pub element: Element,
    /// The name under which the storage lies.
    pub storage: &'a str,
    /// Numbers in the whole storage.
    pub len: usize,
    /// The number in it that the tensor begins with.
    pub offset: usize,
    /// Sizes of the dimensions.
    pub shape: &'a [usize],
    /// Numbers from one index to the next, for each dimension.
    pub strides: &'a [usize],
}

impl StoredTensor<'_> {
    /// Whether every index leads to a number of the storage, and none of them twice.
    pub fn fits(&self) -> bool {
        if self.shape.contains(&0) {
            return true;
        }
        let count = self.shape.iter().try_fold(1_usize, |n, size| n.checked_mul(*size));
        let mut dims = self.shape.iter().zip(self.strides);
        let last = dims.try_fold(self.offset, |at, (size, stride)| {
            at.checked_add((size - 1).checked_mul(*stride)?)
        });
        count.is_some_and(|n| n <= self.len) && last.is_some_and(|at| at < self.len)
    }
}

impl Machine<'_> {
    pub(super) fn global(&mut self) -> Result<(), PickleError> {
        let name = format!("{} {}", self.line()?, self.line()?);
        let object = GLOBALS.iter().find(|(known, _)| *known == name).map(|(_, global)| *global);
        let storage = || {
            let known = STORAGES.iter().find(|(known, _)| *known == name);
            known.map(|(_, element)| Global::Storage(*element))
        };
        match object.or_else(storage) {
            Some(global) => self.push(Value::Global(global)),
            None => return Err(PickleError::Global(name)),
        }
        Ok(())
    }

    /// Only the calls that these pickles make: numpy's `_reconstruct(ndarray, (0,), 'b')` and
    /// `dtype('u1', 0, 1)`; `OrderedDict()`; PyTorch's `_rebuild_tensor_v2(storage, offset, shape,
    /// strides, requires_grad, hooks)` and `_rebuild_parameter(tensor, requires_grad, hooks)`.
    pub(super) fn reduce(&mut self) -> Result<(), PickleError> {
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
            (Value::Global(Global::OrderedDict), None) => Value::Dict(Vec::new()),
            (Value::Global(Global::RebuildTensor), Some((storage, Value::Storage(..)))) => {
                match self.view(&arguments[1..]) {
                    Some((offset, shape, strides)) => {
                        Value::Tensor(storage, offset, shape, strides)
                    }
                    None => return self.broken("a tensor without offset, shape and strides"),
                }
            }
            (Value::Global(Global::RebuildParameter), Some((_, tensor @ Value::Tensor(..)))) => {
                tensor.clone()
            }
            _ => return self.broken("a call of something else than an array, a tensor or a type"),
        };
        self.push(made);
        Ok(())
    }

    /// Offset, shape and strides of a tensor.
    fn view(&self, arguments: &[Id]) -> Option<(usize, Vec<usize>, Vec<usize>)> {
        let [offset, shape, strides, ..] = arguments else { return None };
        let (shape, strides) = (self.sizes(*shape)?, self.sizes(*strides)?);
        (shape.len() == strides.len()).then_some((self.size(*offset)?, shape, strides))
    }

    fn size(&self, id: Id) -> Option<usize> {
        match self.values[id.0] {
            Value::Int(size) => usize::try_from(size).ok(),
            _ => None,
        }
    }

    fn sizes(&self, id: Id) -> Option<Vec<usize>> {
        let Value::Tuple(items) = &self.values[id.0] else { return None };
        items.iter().map(|item| self.size(*item)).collect()
    }

    /// What lies beside the pickle: `('storage', type, name, device, numbers)`. The device does not
    /// matter: the file has the numbers.
    pub(super) fn storage(&mut self) -> Result<(), PickleError> {
        let id = self.pop()?;
        let found = match &self.values[id.0] {
            Value::Tuple(items) => match items.as_slice() {
                [_, kind, name, _, len] => match (&self.values[kind.0], &self.values[name.0]) {
                    (Value::Global(Global::Storage(element)), Value::Bytes(..)) => {
                        self.size(*len).map(|len| Value::Storage(*element, *name, len))
                    }
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        };
        match found {
            Some(storage) => self.push(storage),
            None => return self.broken("something beside the pickle that is no storage"),
        }
        Ok(())
    }

    /// The state of a type (which says nothing for bytes), of a dictionary (attributes, which are no
    /// data), or of an array: (version, shape, type, is Fortran's order, content).
    pub(super) fn build(&mut self) -> Result<(), PickleError> {
        let (state, object) = (self.pop()?, self.pop()?);
        let value = |id: Id| &self.values[id.0];
        let built = match (value(object), value(state)) {
            (dict @ Value::Dict(_), Value::Dict(_)) => dict.clone(),
            (dtype @ Value::Dtype(_), Value::Tuple(_)) => dtype.clone(),
            (Value::EmptyArray, Value::Tuple(state)) => self.filled(state)?,
            _ => return self.broken("a state of something else than an array or its type"),
        };
        // The object is built in place: it may have been remembered before.
        self.values[object.0] = built;
        self.stack.push(object);
        Ok(())
    }

    /// An array with its state.
    fn filled(&self, state: &[Id]) -> Result<Value, PickleError> {
        let value = |id: Id| &self.values[id.0];
        let [_, shape, dtype, fortran, content] = state else {
            return self.broken("a state of something else than an array or its type");
        };
        match (value(*dtype), value(*fortran), value(*content)) {
            (Value::Dtype(dtype), Value::Bool(false) | Value::Int(0), Value::Bytes(from, to))
                if self.is_byte(*dtype) && matches!(value(*shape), Value::Tuple(_)) =>
            {
                let dims = self.sizes(*shape);
                let size = dims
                    .as_ref()
                    .and_then(|dims| dims.iter().try_fold(1_usize, |n, d| n.checked_mul(*d)));
                match dims {
                    Some(dims) if size == Some(to - from) => Ok(Value::Array(dims, *content)),
                    _ => self.broken("an array whose shape does not fit its content"),
                }
            }
            _ => self.broken("an array that is not of plain unsigned bytes"),
        }
    }

    fn is_byte(&self, dtype: Id) -> bool {
        matches!(&self.values[dtype.0], Value::Bytes(from, to) if &self.bytes[*from..*to] == b"u1")
    }
}
