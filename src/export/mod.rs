//! Models for other programs: ONNX, and what is made of it.

mod archive;
pub mod bioimage;
mod card;
pub mod darktable;
pub mod oidn;
pub mod onnx;

pub use card::Card;

use crate::nets::Model;

/// What a model says of itself, for files that hold texts by keys.
pub(crate) fn facts(model: &Model) -> Vec<(&'static str, String)> {
    vec![
        ("net", model.network.describe()),
        ("noise", model.noise.clone()),
        ("steps", model.steps.to_string()),
        ("version", model.version.clone()),
        ("range", format!("{:?}", model.ranges.input)),
    ]
}
