//! The tree of values that a file of tensors holds, made of the objects of its pickle.

use std::collections::HashSet;

use super::array::{Array, DType, MAX_RANK};
use super::pickle::{DAMAGED, Global, Id, Object};
use crate::error::excerpt;

/// How deep values may be nested, and how many of them and bytes of text there may be, counted each time they are referred to.
const MAX_DEPTH: usize = 64;
const MAX_VALUES: usize = 1 << 20;
const MAX_TEXT: usize = 32 << 20;

/// What a file of `torch.save` holds.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// A tensor or parameter, row-major whatever its strides were.
    Tensor(Array),
    /// A list.
    List(Vec<Self>),
    /// A tuple; a `torch.Size` is one of integers.
    Tuple(Vec<Self>),
    /// A dictionary, in the order of the file; no key is there twice. Keys that were integers are decimal text.
    Dict(Vec<(String, Self)>),
    /// Text; of a type of tensor its name, e.g. `float32`.
    Text(String),
    /// An integer.
    Int(i64),
    /// A floating point number.
    Float(f64),
    /// True or false.
    Bool(bool),
    /// Python's `None`.
    None,
}

impl Value {
    /// What kind of value this is, for messages: `a tensor`, `a list`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Tensor(_) => "a tensor",
            Self::List(_) => "a list",
            Self::Tuple(_) => "a tuple",
            Self::Dict(_) => "a dictionary",
            Self::Text(_) => "text",
            Self::Int(_) => "an integer",
            Self::Float(_) => "a number",
            Self::Bool(_) => "true or false",
            Self::None => "None",
        }
    }

    /// The entry of a dictionary; nothing when there is none, or this is no dictionary.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Dict(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }
}

/// A tensor as the pickle describes it; its values lie elsewhere.
#[derive(Debug)]
pub(super) struct TensorRef<'a> {
    /// Name of the storage.
    pub(super) key: &'a str,
    /// Values in the storage.
    pub(super) len: usize,
    pub(super) dtype: DType,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

impl TensorRef<'_> {
    /// The length of the storage.
    pub(super) fn bytes(&self) -> Option<u64> {
        (self.len as u64).checked_mul(self.dtype.size() as u64)
    }
}

/// Makes a tree of a table of objects.
pub(super) struct Tree<'a, F> {
    objects: &'a [Object],
    fetch: &'a mut F,
    /// Keys and indices on the way to the value being made.
    path: Vec<String>,
    values: usize,
    text: usize,
}

impl<'a, F: FnMut(&TensorRef) -> Result<Array, String>> Tree<'a, F> {
    pub(super) fn new(objects: &'a [Object], fetch: &'a mut F) -> Self {
        Self { objects, fetch, path: Vec::new(), values: 0, text: 0 }
    }

    /// The object as a value, with all that it refers to.
    pub(super) fn value(&mut self, id: Id) -> Result<Value, String> {
        self.values += 1;
        if self.path.len() > MAX_DEPTH || self.values > MAX_VALUES {
            return Err("holds lists that are nested too deeply or too long: save the model's state_dict() alone".to_owned());
        }
        let objects = self.objects;
        Ok(match &objects[id as usize] {
            Object::None => Value::None,
            Object::Bool(v) => Value::Bool(*v),
            Object::Int(v) => Value::Int(*v),
            Object::Float(v) => Value::Float(*v),
            Object::Text(v) => Value::Text(self.own(v)?),
            Object::Tuple(v) => Value::Tuple(self.values(v)?),
            Object::List(v) => Value::List(self.values(v)?),
            Object::Dict(v) => Value::Dict(self.entries(v)?),
            Object::Global(Global::DType(dtype)) => Value::Text(dtype.name().to_owned()),
            Object::Global(_) => return Err(DAMAGED.to_owned()),
            Object::Storage { .. } => return Err("holds a storage without a tensor: save the tensor of it".to_owned()),
            Object::Tensor { storage, offset, shape, strides } => {
                let tensor = tensor(objects, [*storage, *offset, *shape, *strides]).and_then(|tensor| (self.fetch)(&tensor));
                Value::Tensor(tensor.map_err(|what| match &self.path[..] {
                    [] => format!("holds a tensor that {what}"),
                    path => format!("holds the tensor {} that {what}", excerpt(&path.join("."))),
                })?)
            }
        })
    }

    fn own(&mut self, text: &str) -> Result<String, String> {
        self.text = self.text.saturating_add(text.len());
        if self.text > MAX_TEXT {
            Err("holds too much text: save the model's state_dict() alone".into())
        } else {
            Ok(text.into())
        }
    }

    fn values(&mut self, ids: &[Id]) -> Result<Vec<Value>, String> {
        let mut values = Vec::new();
        for (i, id) in ids.iter().enumerate() {
            self.path.push(i.to_string());
            values.push(self.value(*id)?);
            self.path.pop();
        }
        Ok(values)
    }

    fn entries(&mut self, pairs: &[(Id, Id)]) -> Result<Vec<(String, Value)>, String> {
        let mut entries = Vec::new();
        let mut keys = HashSet::new();
        let objects = self.objects;
        for (key, value) in pairs {
            let key = match &objects[*key as usize] {
                Object::Text(key) => self.own(key)?,
                Object::Int(key) => key.to_string(),
                _ => return Err("holds a dictionary with keys that are neither text nor integers: name its entries".to_owned()),
            };
            if !keys.insert(key.clone()) {
                return Err(format!("holds two entries named `{}`: save it again", excerpt(&key)));
            }
            self.path.push(key.clone());
            entries.push((key, self.value(*value)?));
            self.path.pop();
        }
        Ok(entries)
    }
}

fn tensor(objects: &[Object], [storage, offset, shape, strides]: [Id; 4]) -> Result<TensorRef<'_>, String> {
    let object = |id: Id| &objects[id as usize];
    let Object::Storage { key, dtype, len } = object(storage) else { return Err(DAMAGED.to_owned()) };
    let Object::Text(key) = object(*key) else { return Err(DAMAGED.to_owned()) };
    let (Object::Tuple(shape), Object::Tuple(strides)) = (object(shape), object(strides)) else {
        return Err(DAMAGED.to_owned());
    };
    if shape.len() != strides.len() || shape.len() > MAX_RANK {
        return Err(format!("has {} dimensions and {} strides: at most {MAX_RANK} are read", shape.len(), strides.len()));
    }
    let count = |id: &Id| match object(*id) {
        Object::Int(v) => usize::try_from(*v).map_err(|_| "has a negative size, stride or offset: save it again".to_owned()),
        _ => Err(DAMAGED.to_owned()),
    };
    Ok(TensorRef {
        key,
        len: usize::try_from(*len).map_err(|_| DAMAGED)?,
        dtype: *dtype,
        offset: count(&offset)?,
        shape: shape.iter().map(count).collect::<Result<_, _>>()?,
        strides: strides.iter().map(count).collect::<Result<_, _>>()?,
    })
}
