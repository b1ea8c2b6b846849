//! Weights files of Open Image Denoise: what is written is read again, and what is damaged is refused.

use std::path::Path;

use half::f16;
use n2n_gpu::data::array::{Array, DType};
use n2n_gpu::data::tza;

fn tensors() -> [(&'static str, Vec<usize>, Vec<f32>); 2] {
    let ramp = |count: usize| (0..count).map(|i| 0.1 * i as f32 - 1.0).collect();
    [("conv.weight", vec![2, 3, 3, 3], ramp(54)), ("conv.bias", vec![2], ramp(2))]
}

fn load(folder: &Path, bytes: &[u8]) -> Result<Vec<(String, Array)>, String> {
    let path = folder.join("weights.tza");
    std::fs::write(&path, bytes).unwrap();
    tza::load(&path).map(|tensors| tensors.into_iter().collect()).map_err(|e| e.to_string())
}

#[test]
fn tensors_come_back_in_half_precision() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = tza::file(tensors());
    let read = load(folder.path(), &bytes).unwrap();
    assert_eq!(read.len(), 2);
    for (name, shape, values) in tensors() {
        let (_, array) = read.iter().find(|(n, _)| n == name).unwrap();
        let rounded: Vec<f32> = values.iter().map(|&v| f16::from_f32(v).to_f32()).collect();
        assert_eq!((array.shape(), array.dtype(), array.to_f32()), (&*shape, DType::F16, rounded), "{name}");
    }
}

/// The layout is that of Open Image Denoise's `core/tza.cpp`: here byte by byte.
#[test]
fn files_are_laid_out_as_open_image_denoise_reads_them() {
    let bytes = tza::file([("b", vec![2], vec![1.0, -2.0])]);
    let mut wanted = vec![0xD7, 0x41, 2, 0];
    wanted.extend(68u64.to_le_bytes());
    wanted.resize(64, 0);
    wanted.extend([0x00, 0x3C, 0x00, 0xC0]);
    wanted.extend(1u32.to_le_bytes());
    wanted.extend([1, 0, b'b', 1, 2, 0, 0, 0, b'x', b'h']);
    wanted.extend(64u64.to_le_bytes());
    assert_eq!(bytes, wanted);
}

#[test]
fn single_precision_is_read_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = tza::file([("b", vec![2], vec![0.0; 2])]);
    let at = bytes.len() - 9;
    assert_eq!(bytes[at], b'h');
    bytes[at] = b'f';
    let values = bytes.len() as u64;
    bytes[at + 1..].copy_from_slice(&values.to_le_bytes());
    bytes.extend([0.1f32, -3.0].iter().flat_map(|v| v.to_le_bytes()));
    assert_eq!(load(folder.path(), &bytes).unwrap()[0].1.to_f32(), [0.1, -3.0]);
}

#[test]
fn a_file_that_is_cut_short_anywhere_is_refused_with_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = tza::file(tensors());
    for len in 0..bytes.len() {
        let message = load(folder.path(), &bytes[..len]).unwrap_err();
        let wanted = if len == 0 { "is empty" } else { "is cut short or damaged" };
        assert!(message.contains("weights.tza") && message.contains(wanted), "{len} bytes: {message}");
    }
}

#[test]
fn damaged_files_end_in_a_sentence_or_in_other_values() {
    let folder = tempfile::tempdir().unwrap();
    let whole = tza::file(tensors());
    for at in 0..whole.len() {
        for value in [0, 1, 0x7F, 0xFF] {
            let mut bytes = whole.clone();
            bytes[at] = value;
            if let Err(message) = load(folder.path(), &bytes) {
                assert!(message.contains("weights.tza: "), "{message}");
            }
        }
    }
    let message = |at: usize, value: u8| {
        let mut bytes = whole.clone();
        bytes[at] = value;
        load(folder.path(), &bytes).unwrap_err()
    };
    assert!(message(0, 0).contains("no weights file"));
    assert!(message(2, 3).contains("version 3"));
}
