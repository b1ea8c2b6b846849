//! Weights for Intel Open Image Denoise, and by it for Blender and other renderers.

use half::f16;

use crate::data::tza;
use crate::error::{Error, Result};
use crate::nets::{Anatomy, Model, Named, OidnUnet, OidnUnetSmall, state_dict};

/// The bytes of a `.tza` file of a model. Parameters are rounded to half precision, which is all that Open Image Denoise reads.
///
/// # Errors
/// If its network is none of those that Open Image Denoise has, or parameters exceed half precision.
pub fn export(model: &Model) -> Result<Vec<u8>> {
    let (name, known) = (model.network.name(), [OidnUnet::NAME, OidnUnetSmall::NAME]);
    if !known.contains(&name) {
        let problem = format!("the network {name} cannot be exported: Open Image Denoise runs its own alone");
        return Err(Error::data(format!("{problem}; train one of {}", known.join(", "))));
    }
    if model.params.iter().any(|v| v.abs() > f16::MAX.to_f32()) {
        return Err(Error::data(
            "the network has parameters beyond 65,504, the largest number of half precision: train it again",
        ));
    }
    let g = Anatomy::of(model.network.as_ref()).graph;
    Ok(tza::file(state_dict::tensors(&g, &model.params)))
}
