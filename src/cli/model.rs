//! Models that commands are given.

use std::path::Path;

use n2n_gpu::error::{Error, Result};
use n2n_gpu::nets::Model;

/// The model of an argument.
/// Fails as [`Model::load`] does; of files that other programs have models in, it says what they are to this one.
pub(super) fn load_model(path: &Path) -> Result<Model> {
    let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    match extension.as_deref() {
        Some("onnx" | "dtmodel" | "zip") if path.is_file() => {
            Err(Error::file(path, "is a model for other programs: give the .safetensors file that it was exported from"))
        }
        Some("pth" | "pt" | "tza") if path.is_file() => {
            let command = "n2n-gpu import FILE --net NAME -o model.safetensors";
            Err(Error::file(path, format!("holds parameters without their network: make a model of it with `{command}`")))
        }
        _ => Model::load(path),
    }
}
