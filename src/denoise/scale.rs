//! Whether a picture is on the scale of what a model was trained on.

use super::Denoiser;
use crate::data::picture::Picture;
use crate::data::range::{ends, filled, median, spread};
use crate::nets::Reading;

/// Pixels that are looked at.
const PIXELS: usize = 20_000;
/// How far beyond what a model was trained on values may lie, and how little of it they may fill, by its length.
const BEYOND: f32 = 1.0;
const LEAST: f32 = 0.05;
/// The same for models of pictures that fill [0, 1], which need not be bright.
const DARK: f32 = 0.02;
/// How far their noise and their highlights may lie beyond 0 to 1.
const BRIGHT: f32 = 1.0;

impl Denoiser {
    /// What is to be said of a picture whose values lie far from those that the model was trained on; nothing of one of bytes and
    /// a model of such.
    pub fn scale_remark(&self, photo: &Picture) -> Option<String> {
        let signal = self.signal();
        let is_known = || photo.is_of_bytes() || photo.features().is_some() || self.network.transfer().is_linear();
        if signal.is_none() && is_known() {
            return None;
        }
        let pixels = spread(photo.width() * photo.height(), PIXELS);
        if signal.is_none() && photo.is_linear() {
            return light_remark(pixels.flat_map(|i| photo.linear(i)).collect());
        }
        let [low, high] = filled(pixels.flat_map(|i| photo.rgb(i)).collect())?;
        let Some([black, white]) = signal else { return plain_remark([low, high]) };
        let length = white - black;
        let is_far = low > white || high < black || high > white + BEYOND * length || high - low < LEAST * length;
        is_far.then(|| {
            let told = |range| ends(range, self.reading == Reading::Shares);
            let (([low, high], unit), ([black, white], _)) = (told([low, high]), told([black, white]));
            format!(
                "its values lie between {low} and {high}{unit}, but the model was trained on {black} to {white}: \
                 what comes out may be far off; give pictures of that scale"
            )
        })
    }
}

/// What is to be said of light to a model that knows pictures from 0 to 1: highlights may lie beyond, but not half of it.
fn light_remark(values: Vec<f32>) -> Option<String> {
    let middle = median(values).filter(|middle| *middle > 1.0)?;
    let ([middle, _], unit) = ends([middle, middle], false);
    Some(format!(
        "half of its values lie above {middle}{unit}, where white is 1 to the model, which makes something else of such: \
         bring them to 0 to 1, or train a model on such pictures"
    ))
}

/// What is to be said of values between these ends to a model that knows pictures from 0 to 1.
fn plain_remark([low, high]: [f32; 2]) -> Option<String> {
    if low < -BRIGHT || high > 1.0 + BRIGHT {
        let ([low, high], unit) = ends([low, high], false);
        return Some(format!(
            "its values lie between {low} and {high}{unit}, but the model knows pictures from 0 to 1, and makes something else of others: \
             bring them to 0 to 1, or train a model on such pictures"
        ));
    }
    let percent = 100.0 * (high - low);
    (high > low && high < DARK).then(|| {
        format!(
            "its values fill {percent:.2} % of their range, but the model knows pictures that fill it: \
             stretch them, or train a model on such pictures"
        )
    })
}
