//! Models that commands are given.

use std::path::{Path, PathBuf};

use n2n_gpu::error::{Error, Result};
use n2n_gpu::export::Card;
use n2n_gpu::nets::{BUILT_IN, Builtin, Model};

/// What models there are, for `--help`.
pub(super) fn help() -> String {
    let model = |model: &Builtin| format!("{} ({})", model.name, model.about);
    format!("Model or run folder of `train`, or one in the box: {}", BUILT_IN.iter().map(model).collect::<Vec<_>>().join(", "))
}

fn built_in(path: &Path) -> Option<&'static Builtin> {
    path.to_str().and_then(Builtin::find)
}

/// The file that an argument names, unless it is a model in the box.
pub(super) fn file(path: &Path) -> Option<PathBuf> {
    if built_in(path).is_some() { None } else { Some(best(path)) }
}

/// The best model of a run folder; of a file, itself.
pub(super) fn best(path: &Path) -> PathBuf {
    if path.is_dir() { path.join("best.safetensors") } else { path.to_owned() }
}

/// A model's name for people, and what it is for, as far as that is known.
pub(super) fn named(path: &Path) -> (String, String) {
    let of_file = || (Card::of(&best(path)).name, String::new());
    built_in(path).map_or_else(of_file, |model| (model.name.to_owned(), model.about.to_owned()))
}

/// Bytes of the model's file.
pub(super) fn size(path: &Path) -> u64 {
    built_in(path).map_or_else(|| best(path).metadata().map_or(0, |file| file.len()), |model| model.size() as u64)
}

/// The model of an argument: one in the box by its name, else a file.
/// Fails as [`Model::load`] does; of files that other programs have models in, it says what they are to this one.
pub(super) fn load_model(path: &Path) -> Result<Model> {
    if let Some(model) = built_in(path) {
        return model.load();
    }
    let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    match extension.as_deref() {
        Some("onnx" | "dtmodel" | "zip") if path.is_file() => {
            Err(Error::file(path, "is a model for other programs: give the .safetensors file that it was exported from"))
        }
        Some("pth" | "pt" | "tza") if path.is_file() => {
            let command = "n2n-gpu import FILE --net NAME -o model.safetensors";
            Err(Error::file(path, format!("holds parameters without their network: make a model of it with `{command}`")))
        }
        None if !path.exists() => {
            let names: Vec<_> = BUILT_IN.iter().map(|model| model.name).collect();
            Err(Error::file(path, format!("is neither a model in the box ({}) nor a file that is there", names.join(", "))))
        }
        _ if path.is_dir() && !best(path).exists() => {
            Err(Error::file(path, "has no best.safetensors in it: give the folder of a run, or a model's file"))
        }
        _ => Model::load(&best(path)),
    }
}
