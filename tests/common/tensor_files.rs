//! Files of tensors made byte by byte, and what a refusal must look like.
#![allow(dead_code, reason = "every test file uses its own part of this")]

use std::fs;
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};

use n2n_gpu::data::torch::{self, Value};
use n2n_gpu::data::{array, npy};
use n2n_gpu::error::Result;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// A file that `make_files.py` wrote.
pub(crate) fn golden(name: &str) -> PathBuf {
    Path::new("tests/golden/files").join(name)
}

/// A folder that is removed at the end.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }
}

/// Any file of tensors, as one value.
pub(crate) fn load(path: &Path) -> Result<Value> {
    let named =
        |arrays: Vec<(String, array::Array)>| Value::Dict(arrays.into_iter().map(|(k, v)| (k, Value::Tensor(v))).collect());
    match path.extension().unwrap().to_str().unwrap() {
        "npy" => npy::load_npy(path).map(Value::Tensor),
        "npz" => npy::load_npz(path).map(named),
        "safetensors" => array::load_safetensors(path).map(named),
        _ => torch::load(path),
    }
}

/// The message, which must be one sentence that names the file.
#[track_caller]
pub(crate) fn refused<T>(result: Result<T>, path: &Path, says: &[&str]) -> String {
    let text = result.err().unwrap_or_else(|| panic!("{} was read", path.display())).to_string();
    let named = text.starts_with(&format!("{}: ", path.display()));
    assert!(named && !text.contains('\n') && says.iter().all(|part| text.contains(part)), "{text:?} does not say {says:?}");
    text
}

pub(crate) fn zip(entries: &[(&str, &[u8])], packed: bool) -> Vec<u8> {
    let method = if packed { CompressionMethod::Deflated } else { CompressionMethod::Stored };
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        zip.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// What is in an archive; nothing if it is none.
pub(crate) fn unzip(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let Ok(mut zip) = ZipArchive::new(Cursor::new(bytes)) else { return Vec::new() };
    let count = zip.len();
    let read = |i| {
        let mut entry = zip.by_index(i).unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (entry.name().unwrap().into_owned(), bytes)
    };
    (0..count).map(read).collect()
}

/// Makes an archive say that an entry has another size.
pub(crate) fn claim(bytes: &mut [u8], name: &str, len: u32) {
    // The name stands in the entry's own header, 30 bytes after its start, and 46 bytes after it in the directory.
    let places: Vec<usize> =
        bytes.windows(name.len()).enumerate().filter(|(_, w)| *w == name.as_bytes()).map(|(i, _)| i).collect();
    assert_eq!(places.len(), 2, "{name}");
    for (place, back) in places.into_iter().zip([30 - 22, 46 - 24]) {
        bytes[place - back..][..4].copy_from_slice(&len.to_le_bytes());
    }
}

pub(crate) fn torch_file(pickle: &[u8], storages: &[(&str, &[u8])], packed: bool) -> Vec<u8> {
    let names: Vec<String> = storages.iter().map(|(key, _)| format!("archive/data/{key}")).collect();
    let mut entries = vec![("archive/data.pkl", pickle), ("archive/byteorder", b"little")];
    entries.extend(names.iter().map(String::as_str).zip(storages.iter().map(|(_, bytes)| *bytes)));
    zip(&entries, packed)
}

pub(crate) fn write_torch(folder: &Folder, name: &str, pickle: &[u8], storages: &[(&str, &[u8])]) -> PathBuf {
    folder.write(name, &torch_file(pickle, storages, false))
}

/// An array of `NumPy`, in order of C.
pub(crate) fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    cat(&[b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes(), header.as_bytes(), data])
}

pub(crate) fn cat(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

pub(crate) fn program(body: &[u8]) -> Vec<u8> {
    cat(&[b"\x80\x02", body, b"."])
}

pub(crate) fn text(text: &str) -> Vec<u8> {
    cat(&[b"X", &(text.len() as u32).to_le_bytes(), text.as_bytes()])
}

pub(crate) fn int(value: i32) -> Vec<u8> {
    cat(&[b"J", &value.to_le_bytes()])
}

/// Appends several values to a list.
pub(crate) fn list_of(values: &[u8]) -> Vec<u8> {
    cat(&[b"(", values, b"e"])
}

/// A call with one argument.
pub(crate) fn call(function: &[u8], argument: &[u8]) -> Vec<u8> {
    cat(&[function, argument, b"\x85R"])
}

fn ints(values: &[i32]) -> Vec<u8> {
    cat(&[b"(", &values.iter().flat_map(|v| int(*v)).collect::<Vec<_>>(), b"t"])
}

/// A tensor of a storage of `len` values of a class.
pub(crate) fn view(class: &str, key: &str, len: i32, offset: i32, shape: &[i32], strides: &[i32]) -> Vec<u8> {
    let class = format!("ctorch\n{class}Storage\n");
    let storage = cat(&[b"(", &text("storage"), class.as_bytes(), &text(key), &text("cpu"), &int(len), b"tQ"]);
    let hooks = b"\x89ccollections\nOrderedDict\n)R";
    cat(&[b"ctorch._utils\n_rebuild_tensor_v2\n(", &storage, &int(offset), &ints(shape), &ints(strides), hooks, b"tR"])
}

/// A row-major tensor.
pub(crate) fn tensor(class: &str, key: &str, len: i32, offset: i32, shape: &[i32]) -> Vec<u8> {
    let mut strides = vec![1; shape.len()];
    (1..shape.len()).rev().for_each(|i| strides[i - 1] = strides[i] * shape[i]);
    view(class, key, len, offset, shape, &strides)
}
