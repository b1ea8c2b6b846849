//! A small machine for Python's pickles that builds tensors and plain values and executes nothing.
//!
//! A pickle is a program for a stack machine, and Python's own runs whatever function it names. This one knows by name what
//! `torch.save` writes for tensors and refuses the rest. Objects lie in one table and refer to each other by index, so that a
//! list within itself or a million lists in each other are neither followed nor dropped recursively; the tree made of
//! them at the end is limited in depth and size. What each opcode does is said in Python's `pickletools.py`.

use std::collections::HashMap;

use super::array::{Array, DType};
use super::value::{TensorRef, Tree, Value};
use crate::error::excerpt;

/// The longest pickle read and the most objects it may make: about 140,000 tensors.
pub(super) const MAX_PICKLE: u64 = 32 << 20;
const MAX_OBJECTS: usize = 1 << 21;

pub(super) const DAMAGED: &str = "has a damaged pickle: copy or export it again";

/// Index in the table of objects.
pub(super) type Id = u32;

pub(super) enum Object {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(Global),
    Storage { key: Id, dtype: DType, len: i64 },
    Tensor { storage: Id, offset: Id, shape: Id, strides: Id },
}

/// What a pickle may name.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Global {
    Tensor,
    Parameter,
    OrderedDict,
    Size,
    Storage(DType),
    DType(DType),
}

impl Global {
    fn find(module: &str, name: &str) -> Result<Self, String> {
        match (module, name) {
            ("torch._utils", "_rebuild_tensor_v2") => return Ok(Self::Tensor),
            ("torch._utils", "_rebuild_parameter") => return Ok(Self::Parameter),
            ("collections", "OrderedDict") => return Ok(Self::OrderedDict),
            ("torch", "Size") => return Ok(Self::Size),
            ("torch" | "torch.cuda" | "torch.storage", _) => {
                if name == "UntypedStorage" {
                    return Ok(Self::Storage(DType::U8));
                }
                if let Some(class) = name.strip_suffix("Storage")
                    && let Some(dtype) = DType::find(|names| names.storage == class)
                {
                    return Ok(Self::Storage(dtype));
                }
                if let Some(dtype) = DType::find(|names| names.name == name) {
                    return Ok(Self::DType(dtype));
                }
                if ["uint", "float", "complex", "Complex", "Q"].iter().any(|kind| name.starts_with(kind)) {
                    let name = excerpt(name);
                    return Err(format!("holds values of type torch.{name}, which are not read: convert them to float32"));
                }
            }
            _ => {}
        }
        let (module, name) = (excerpt(module), excerpt(name));
        Err(format!("asks to run `{module}.{name}`: only tensors are read, so save the model's state_dict() alone"))
    }
}

/// A pickle that has been run.
pub(super) struct Pickle {
    objects: Vec<Object>,
    root: Id,
}

impl Pickle {
    /// Runs a pickle of protocol 0 to 5.
    pub(super) fn parse(code: &[u8]) -> Result<Self, String> {
        let mut machine = Machine { code, stack: Vec::new(), marks: Vec::new(), memo: HashMap::new(), objects: Vec::new() };
        loop {
            let op = machine.bytes::<1>()?[0];
            if op == b'.' {
                return Ok(Self { root: machine.pop()?, objects: machine.objects });
            }
            machine.step(op)?;
        }
    }

    /// The result as a tree; `fetch` makes arrays of tensors.
    pub(super) fn value(&self, fetch: &mut impl FnMut(&TensorRef) -> Result<Array, String>) -> Result<Value, String> {
        Tree::new(&self.objects, fetch).value(self.root)
    }
}

struct Machine<'a> {
    /// What is still to be run.
    code: &'a [u8],
    stack: Vec<Id>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    objects: Vec<Object>,
}

impl<'a> Machine<'a> {
    /// One instruction that is not the last.
    #[rustfmt::skip]
    fn step(&mut self, op: u8) -> Result<(), String> {
        match op {
            0x80 => if self.bytes::<1>()?[0] > 5 { return Err("is a pickle of a later protocol than 5: save it again with protocol 2".into()); },
            0x95 => drop(self.bytes::<8>()?), // a frame's length, for readers of streams
            b'(' => self.marks.push(self.stack.len()),
            b'0' => if self.marks.last() == Some(&self.stack.len()) { self.marks.pop(); } else { self.pop()?; },
            b'1' => drop(self.pop_mark()?),
            b'2' => { let top = self.top()?; self.stack.push(top); }
            b'N' => self.push(Object::None)?,
            0x88 => self.push(Object::Bool(true))?,
            0x89 => self.push(Object::Bool(false))?,
            b'J' => { let v = i32::from_le_bytes(self.bytes()?); self.push(Object::Int(v.into()))?; }
            b'K' => { let v = u8::from_le_bytes(self.bytes()?); self.push(Object::Int(v.into()))?; }
            b'M' => { let v = u16::from_le_bytes(self.bytes()?); self.push(Object::Int(v.into()))?; }
            0x8a => { let v = self.long()?; self.push(Object::Int(v))?; }
            b'I' | b'L' => { let v = self.decimal(op)?; self.push(v)?; }
            b'G' => { let v = f64::from_be_bytes(self.bytes()?); self.push(Object::Float(v))?; }
            b'F' => { let v = self.line()?.parse().map_err(|_| DAMAGED)?; self.push(Object::Float(v))?; }
            0x8c => { let n = u8::from_le_bytes(self.bytes()?); self.text(n.into())?; }
            b'X' => { let n = u32::from_le_bytes(self.bytes()?); self.text(n.into())?; }
            0x8d => { let n = u64::from_le_bytes(self.bytes()?); self.text(n)?; }
            b'V' => { let v = self.line()?.to_owned(); if v.contains('\\') { return Err(DAMAGED.into()); } self.push(Object::Text(v))?; }
            b')' => self.push(Object::Tuple(Vec::new()))?,
            0x85..=0x87 => { let v = self.pop_many(usize::from(op - 0x84))?; self.push(Object::Tuple(v))?; }
            b't' => { let v = self.pop_mark()?; self.push(Object::Tuple(v))?; }
            b']' => self.push(Object::List(Vec::new()))?,
            b'l' => { let v = self.pop_mark()?; self.push(Object::List(v))?; }
            b'a' => { let v = self.pop_many(1)?; self.append(v)?; }
            b'e' => { let v = self.pop_mark()?; self.append(v)?; }
            b'}' => self.push(Object::Dict(Vec::new()))?,
            b'd' => { let v = self.pop_mark()?; self.push(Object::Dict(Vec::new()))?; self.set(&v)?; }
            b's' => { let v = self.pop_many(2)?; self.set(&v)?; }
            b'u' => { let v = self.pop_mark()?; self.set(&v)?; }
            b'q' => { let i = u8::from_le_bytes(self.bytes()?); self.put(i.into())?; }
            b'r' => { let i = u32::from_le_bytes(self.bytes()?); self.put(i)?; }
            b'p' => { let i = self.line()?.parse().map_err(|_| DAMAGED)?; self.put(i)?; }
            0x94 => { let i = u32::try_from(self.memo.len()).map_err(|_| DAMAGED)?; self.put(i)?; }
            b'h' => { let i = u8::from_le_bytes(self.bytes()?); self.get(i.into())?; }
            b'j' => { let i = u32::from_le_bytes(self.bytes()?); self.get(i)?; }
            b'g' => { let i = self.line()?.parse().map_err(|_| DAMAGED)?; self.get(i)?; }
            b'c' => { let (module, name) = (self.line()?, self.line()?); self.push(Object::Global(Global::find(module, name)?))?; }
            0x93 => self.named_global()?,
            b'Q' => self.storage()?,
            b'R' => self.call()?,
            b'b' => self.set_state()?,
            _ => return Err(format!("has the pickle opcode {op:#04x}, which files of tensors do not use: save it again with torch.save")),
        }
        Ok(())
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (bytes, rest) = self.code.split_first_chunk().ok_or(DAMAGED)?;
        self.code = rest;
        Ok(*bytes)
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], String> {
        let len = usize::try_from(len).map_err(|_| DAMAGED)?;
        let (bytes, rest) = self.code.split_at_checked(len).ok_or(DAMAGED)?;
        self.code = rest;
        Ok(bytes)
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let len = self.code.iter().position(|byte| *byte == b'\n').ok_or(DAMAGED)?;
        let line = self.take(len as u64 + 1)?;
        Ok(std::str::from_utf8(&line[..len]).map_err(|_| DAMAGED)?)
    }

    /// Little endian in two's complement, of as many bytes as it takes.
    fn long(&mut self) -> Result<i64, String> {
        let len = self.bytes::<1>()?[0];
        let bytes = self.take(len.into())?;
        let sign = if bytes.last().is_some_and(|byte| byte >> 7 == 1) { 0xFF } else { 0 };
        let mut wide = [sign; 8];
        wide.get_mut(..bytes.len()).ok_or("holds an integer of more than 64 bits: take it out")?.copy_from_slice(bytes);
        Ok(i64::from_le_bytes(wide))
    }

    fn decimal(&mut self, op: u8) -> Result<Object, String> {
        let line = self.line()?;
        Ok(match (op, line) {
            (b'I', "00") => Object::Bool(false),
            (b'I', "01") => Object::Bool(true),
            _ => Object::Int(line.trim_end_matches('L').parse().map_err(|_| DAMAGED)?),
        })
    }

    fn text(&mut self, len: u64) -> Result<(), String> {
        let text = std::str::from_utf8(self.take(len)?).map_err(|_| DAMAGED)?;
        self.push(Object::Text(text.to_owned()))
    }

    fn push(&mut self, object: Object) -> Result<(), String> {
        let id = self.objects.len();
        if id == MAX_OBJECTS {
            return Err("holds too many objects: save the model's state_dict() alone".to_owned());
        }
        self.objects.push(object);
        self.stack.push(id as Id);
        Ok(())
    }

    /// The last object, which must lie above the last mark.
    fn top(&self) -> Result<Id, String> {
        let floor = self.marks.last().copied().unwrap_or(0);
        Ok(*self.stack.get(floor..).and_then(<[Id]>::last).ok_or(DAMAGED)?)
    }

    fn pop(&mut self) -> Result<Id, String> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<Id>, String> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let start = self.stack.len().checked_sub(count).filter(|start| *start >= floor).ok_or(DAMAGED)?;
        Ok(self.stack.split_off(start))
    }

    /// The objects above the last mark, and the mark.
    fn pop_mark(&mut self) -> Result<Vec<Id>, String> {
        let start = self.marks.pop().ok_or(DAMAGED)?;
        Ok(self.stack.split_off(start))
    }

    fn append(&mut self, values: Vec<Id>) -> Result<(), String> {
        let top = self.top()?;
        let Object::List(list) = &mut self.objects[top as usize] else { return Err(DAMAGED.to_owned()) };
        list.extend(values);
        Ok(())
    }

    fn set(&mut self, pairs: &[Id]) -> Result<(), String> {
        let top = self.top()?;
        let Object::Dict(dict) = &mut self.objects[top as usize] else { return Err(DAMAGED.to_owned()) };
        let (pairs, []) = pairs.as_chunks() else { return Err(DAMAGED.to_owned()) };
        dict.extend(pairs.iter().map(|[key, value]| (*key, *value)));
        Ok(())
    }

    fn put(&mut self, name: u32) -> Result<(), String> {
        let top = self.top()?;
        self.memo.insert(name, top);
        Ok(())
    }

    fn get(&mut self, name: u32) -> Result<(), String> {
        self.stack.push(*self.memo.get(&name).ok_or(DAMAGED)?);
        Ok(())
    }

    fn object(&self, id: Id) -> &Object {
        &self.objects[id as usize]
    }

    fn named_global(&mut self) -> Result<(), String> {
        let (name, module) = (self.pop()?, self.pop()?);
        let (Object::Text(module), Object::Text(name)) = (self.object(module), self.object(name)) else {
            return Err(DAMAGED.to_owned());
        };
        let global = Global::find(module, name)?;
        self.push(Object::Global(global))
    }

    /// `("storage", torch.FloatStorage, key, device, length)` stands for a file beside the pickle.
    fn storage(&mut self) -> Result<(), String> {
        let id = self.pop()?;
        let Object::Tuple(parts) = self.object(id) else { return Err(DAMAGED.to_owned()) };
        let &[tag, class, key, _, len] = &parts[..] else { return Err(DAMAGED.to_owned()) };
        match (self.object(tag), self.object(class), self.object(key), self.object(len)) {
            (Object::Text(tag), Object::Global(Global::Storage(dtype)), Object::Text(_), Object::Int(len))
                if tag == "storage" =>
            {
                let (dtype, len) = (*dtype, *len);
                self.push(Object::Storage { key, dtype, len })
            }
            _ => Err(DAMAGED.to_owned()),
        }
    }

    /// A function's name and a tuple of arguments become what the function would return.
    fn call(&mut self) -> Result<(), String> {
        let (args, function) = (self.pop()?, self.pop()?);
        let (Object::Tuple(args), Object::Global(function)) = (self.object(args), self.object(function)) else {
            return Err(DAMAGED.to_owned());
        };
        match (*function, &args[..]) {
            (Global::Tensor, &[storage, offset, shape, strides, _, _] | &[storage, offset, shape, strides, _, _, _]) => {
                self.push(Object::Tensor { storage, offset, shape, strides })
            }
            (Global::OrderedDict, []) => self.push(Object::Dict(Vec::new())),
            (Global::Parameter, &[same, _, _]) if matches!(self.object(same), Object::Tensor { .. }) => {
                self.stack.push(same);
                Ok(())
            }
            (Global::Size, &[same]) if matches!(self.object(same), Object::Tuple(_)) => {
                self.stack.push(same);
                Ok(())
            }
            _ => Err(DAMAGED.to_owned()),
        }
    }

    /// Attributes: only a state dict has some, `_metadata`, and they are of no use.
    fn set_state(&mut self) -> Result<(), String> {
        self.pop()?;
        let top = self.top()?;
        if matches!(self.object(top), Object::Dict(_)) { Ok(()) } else { Err(DAMAGED.to_owned()) }
    }
}
