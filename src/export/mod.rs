//! Models for other programs: ONNX, what is made of it, and a page for browsers.

mod archive;
pub mod bioimage;
mod card;
pub mod darktable;
pub mod oidn;
pub mod onnx;
pub mod web;

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
