//! Packages for darktable's neural restore (5.6): a zip archive of one folder with `config.json` and `model.onnx`.
//!
//! darktable gives the network squares of one size that overlap by 64 pixels, mirrored at the edges of the picture, in sRGB with
//! values from 0 to 1, and keeps their middles.

use serde_json::json;

use super::archive::archive;
use super::card::Card;
use super::onnx;
use crate::error::{Error, Result};
use crate::nets::{Anatomy, Model};

/// Side of the squares unless another one is asked for: that of darktable's own models.
const SIZE: usize = 768;
/// Pixels that squares overlap by at each side.
const OVERLAP: usize = 64;

/// The bytes of a `.dtmodel` file of a model that is given squares of `size` pixels, or what is common.
///
/// # Errors
/// If the network does not divide the size, it leaves no middle, an op has no counterpart in ONNX, or the id is none.
pub fn export(model: &Model, size: Option<usize>, card: &Card) -> Result<Vec<u8>> {
    card.check()?;
    model.check_photographs()?;
    let Anatomy { multiple, radius, .. } = Anatomy::of(model.network.as_ref());
    let size = size.unwrap_or(SIZE.next_multiple_of(multiple));
    if size <= 2 * OVERLAP {
        let overlap = 2 * OVERLAP;
        return Err(Error::option("size", format!("{size}: darktable's tiles overlap by {overlap} pixels: take a larger one")));
    }
    let network = onnx::export(model, Some(size))?;
    let notes = match radius {
        Some(radius) if radius <= OVERLAP => "A pixel depends on what is within the overlap of tiles: there are no seams.",
        Some(_) => "A pixel depends on more than the overlap of tiles: there may be faint seams.",
        None => "Its normalisation sees a tile at a time: tiles may differ visibly.",
    };
    let stated = |text: &Option<String>| text.clone().unwrap_or_else(|| "not stated".to_owned());
    let config = json!({
        "id": card.id,
        "name": card.name,
        "description": format!("Removes noise of the kind {}", model.noise),
        "task": "denoise",
        "version": "1.0",
        "backend": "onnx",
        "arch": model.network.name(),
        "tiling": true,
        "attributes": {"input_sizes": [size], "shadow_boost": false},
        "coreml_format": "mlprogram",
        "model_card": {
            "author": stated(&card.author),
            "license": stated(&card.license),
            "long_description": Card::history(model),
            "scope": format!("Developed photographs with noise of the kind {}.", model.noise),
            "source": env!("CARGO_PKG_REPOSITORY"),
            "training_data": card.training_data(model),
            "training_data_license": "not stated",
            "notes": notes,
        },
    });
    let config = serde_json::to_string_pretty(&config).expect("it is plain data").into_bytes();
    let id = &card.id;
    Ok(archive(&[(format!("{id}/config.json"), config), (format!("{id}/model.onnx"), network)]))
}
