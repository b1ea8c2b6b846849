//! Packages for the model zoo of microscopy (<https://bioimage.io>, model description 0.5): a zip archive of `rdf.yaml`, the
//! network in ONNX, a test picture with its result, and a cover.

use std::io::Cursor;

use image::{ImageFormat, Rgb, RgbImage};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::archive::archive;
use super::card::Card;
use super::{facts, onnx};
use crate::data::npy;
use crate::denoise::Denoiser;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::nets::{Anatomy, Model};
use crate::ops::random_normals;

/// Least side of the test picture.
const SIDE: usize = 128;
/// Standard deviation of its noise.
const NOISE: f32 = 0.1;

/// The bytes of a package of a model. Its test picture is denoised here, on the CPU.
///
/// # Errors
/// If the card names no author or licence, an op has no counterpart in ONNX, or the network gives values that are not finite.
pub fn export(model: &Model, card: &Card) -> Result<Vec<u8>> {
    model.network.check_photographs()?;
    let required = |option, text: &Option<String>, example| {
        text.clone().ok_or_else(|| Error::option(option, format!("bioimage.io asks for it: give one, such as {example}")))
    };
    let (author, license) =
        (required("author", &card.author, "\"Ada Byron\"")?, required("license", &card.license, "CC-BY-4.0")?);
    let multiple = Anatomy::of(model.network.as_ref()).multiple;
    let side = SIDE.next_multiple_of(multiple);
    let shown = test_picture(side);
    let [black, white] = model.signal().unwrap_or([0.0, 1.0]);
    let noisy: Vec<f32> = shown.iter().map(|v| black + v * (white - black)).collect();
    let mut denoised = Denoiser::new(&Device::Cpu, model, None)?.denoise(&noisy, side, side)?;
    if (0.0..=1.0).contains(&black) && white <= 1.0 {
        denoised.iter_mut().for_each(|v| *v = v.clamp(0.0, 1.0));
    }
    let denoised_shown: Vec<f32> = denoised.iter().map(|v| ((v - black) / (white - black)).clamp(0.0, 1.0)).collect();

    let files = [
        ("model.onnx", onnx::export(model, None)?),
        ("test_input.npy", npy::file(&[1, 3, side, side], &planes(&noisy))),
        ("test_output.npy", npy::file(&[1, 3, side, side], &planes(&denoised))),
        ("cover.png", cover(&shown, &denoised_shown, side)),
        ("README.md", readme(model, card).into_bytes()),
    ];
    let mut description = describe(model, multiple, &files);
    description["name"] = json!(card.name);
    description["authors"] = json!([{"name": author}]);
    description["license"] = json!(license);
    // JSON is YAML, too.
    let description = serde_json::to_string_pretty(&description).expect("it is plain data").into_bytes();
    let files = files.into_iter().map(|(name, bytes)| (name.to_owned(), bytes));
    Ok(archive(&std::iter::once(("rdf.yaml".to_owned(), description)).chain(files).collect::<Vec<_>>()))
}

/// What `rdf.yaml` says of the model and of the other files. Sizes are multiples of `multiple`.
fn describe(model: &Model, multiple: usize, files: &[(&str, Vec<u8>)]) -> Value {
    let of = |name: &str| {
        let (name, bytes) = files.iter().find(|(file, _)| *file == name).expect("the package has it");
        let hash: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        json!({"source": name, "sha256": hash})
    };
    let mut weights = of("model.onnx");
    weights["opset_version"] = json!(onnx::OPSET);
    let space = |size: &dyn Fn(&str) -> Value| ["y", "x"].map(|id| json!({"type": "space", "id": id, "size": size(id)}));
    let tensor = |id: &str, test: Value, [y, x]: [Value; 2]| {
        let channels = json!({"type": "channel", "channel_names": ["red", "green", "blue"]});
        json!({
            "id": id, "axes": [{"type": "batch"}, channels, y, x], "test_tensor": test,
            "data": {"type": "float32", "range": model.signal().unwrap_or([0.0, 1.0])},
        })
    };
    let any_size = space(&|_| json!({"min": multiple, "step": multiple}));
    let same_size = space(&|id| json!({"tensor_id": onnx::INPUT, "axis_id": id}));
    let facts: Map<_, _> = facts(model).into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
    json!({
        "format_version": "0.5.3",
        "type": "model",
        "name": null,
        "description": format!("Removes noise of the kind {} from RGB pictures", model.noise),
        "authors": null,
        "license": null,
        "cite": [{"text": "Lehtinen et al. 2018, Noise2Noise", "url": "https://arxiv.org/abs/1803.04189"}],
        "documentation": "README.md",
        "covers": ["cover.png"],
        "git_repo": env!("CARGO_PKG_REPOSITORY"),
        "tags": ["denoising", "image-restoration", "noise2noise", model.network.name(), "rgb", "2d"],
        "inputs": [tensor(onnx::INPUT, of("test_input.npy"), any_size)],
        "outputs": [tensor(onnx::OUTPUT, of("test_output.npy"), same_size)],
        "weights": {"onnx": weights},
        "config": {"n2n-gpu": facts},
    })
}

fn readme(model: &Model, card: &Card) -> String {
    let (history, data) = (Card::history(model), card.training_data(model));
    let validation =
        "Denoise pictures like those that it was trained on, of which clean ones are known, and compare: `n2n-gpu eval`.";
    format!("# {}\n\n{history}\n\n{data}\n\n# Validation\n\n{validation}\n", card.name)
}

/// Waves, different in every channel, with noise: (H, W, 3), from 0 to 1.
fn test_picture(side: usize) -> Vec<f32> {
    let clean = |at: usize| {
        let (y, x, c) = ((at / 3 / side) as f32, (at / 3 % side) as f32, (at % 3) as f32);
        0.5 + 0.4 * (0.15 * y + (0.1 + 0.05 * c) * x).sin()
    };
    let noise = random_normals(1, 0).map(|z| NOISE * z as f32);
    (0..side * side * 3).zip(noise).map(|(at, noise)| (clean(at) + noise).clamp(0.0, 1.0)).collect()
}

/// (3, H, W) of (H, W, 3).
fn planes(pixels: &[f32]) -> Vec<f32> {
    (0..3).flat_map(|c| pixels.iter().skip(c).step_by(3).copied()).collect()
}

/// Both pictures beside each other, as a PNG file.
fn cover(noisy: &[f32], denoised: &[f32], side: usize) -> Vec<u8> {
    let cover = RgbImage::from_fn(2 * side as u32, side as u32, |x, y| {
        let (x, y) = (x as usize, y as usize);
        let picture = if x < side { noisy } else { denoised };
        let at = 3 * (y * side + x % side);
        Rgb([0, 1, 2].map(|c| (255.0 * picture[at + c]).round() as u8))
    });
    let mut bytes = Cursor::new(Vec::new());
    cover.write_to(&mut bytes, ImageFormat::Png).expect("memory takes every picture");
    bytes.into_inner()
}
