//! Noise laws. Each law is one record in a file of its own: how it is written, what its parameters may be, which loss it needs,
//! its moments, and how a pixel of it is drawn. Everything else asks the record; nothing matches on a law.
//!
//! ```
//! use n2n_gpu::noise::Noise;
//!
//! let noise: Noise = "poisson-gaussian:30,5".parse()?;
//! assert_eq!((noise.law().name, noise.to_string().as_str()), ("poisson-gaussian", "poisson-gaussian:30,5"));
//! # Ok::<(), n2n_gpu::error::Error>(())
//! ```
//!
//! To add a law: its file, its line in [`LAWS`], and its branch in `shaders/lib/noise.wgsl`.

mod bernoulli;
mod brown;
pub(crate) mod camera;
mod exposure;
mod gaussian;
mod impulse;
pub(crate) mod jpeg;
mod law;
mod pixelate;
mod poisson;
mod sampler;
mod text;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use exposure::{Clean, Exposure};
pub use law::{Law, Moments, Parameter};
pub(crate) use sampler::{Place, Sampler, Shot, Stream};
pub(crate) use text::GLYPHS;

use crate::error::Error;
use crate::ops::{Batch, Loss};

/// All laws, in the order that help lists them.
pub static LAWS: &[Law] = &[
    gaussian::LAW,
    poisson::POISSON,
    poisson::POISSON_GAUSSIAN,
    bernoulli::LAW,
    impulse::LAW,
    text::LAW,
    brown::LAW,
    camera::LAW,
    pixelate::LAW,
];

/// A noise law with its parameters, such as `gaussian:25`. Two exposures of a picture have independent noise. Values are in the
/// [0, 1] range, and neither clipped nor rounded.
#[derive(Clone, Copy)]
pub struct Noise {
    law: &'static Law,
    values: law::Values,
}

impl Noise {
    /// Its record.
    pub fn law(&self) -> &'static Law {
        self.law
    }

    /// The loss for which noisy targets teach what clean ones would; of values in [0, 1].
    pub fn loss(&self) -> Loss {
        (self.law.loss)(self.values)
    }

    /// How many noisy targets of every crop are worth drawing.
    pub fn targets(&self) -> usize {
        self.law.targets
    }

    /// How many can be drawn: spatially correlated noise is made for a whole picture at a time, for one target.
    pub fn most_targets(&self) -> usize {
        if self.blur().is_some() || self.camera().is_some() { 1 } else { Batch::MOST_TARGETS }
    }

    /// Whether noisy values are right on average, so that noisy pairs tell how good a denoiser is.
    pub fn unbiased(&self) -> bool {
        self.law.unbiased
    }

    /// Whether some pixels are missing, and known to be: they do not count as targets.
    pub fn masks(&self) -> bool {
        self.law.masks
    }

    /// Whether the clean picture is the noisy one less something small, which a network may predict in its place.
    pub fn suits_residual(&self) -> bool {
        (self.unbiased() || self.camera().is_some()) && !self.masks()
    }

    /// Mean and variance of the noisy values of a picture of one colour, whose clean value is `clean`; `None` of a law without a
    /// formula.
    pub fn moments(&self, clean: f64) -> Option<Moments> {
        self.law.moments.map(|moments| moments(self.values, clean))
    }

    /// Side of the square cells of the picture that give one noisy pixel each; 1 of most laws.
    pub fn cell(&self) -> usize {
        (self.law.cell)(self.values)
    }

    /// Smallest side that a picture must have, pixels.
    pub fn least_side(&self) -> usize {
        self.law.least_side.max(self.cell())
    }

    /// Standard deviation, in pixels, of the blur of its Gaussian noise, where it has a spectrum.
    pub(crate) fn blur(&self) -> Option<f32> {
        (self.law.blur)(self.values)
    }

    /// Least standard deviation of the noise of a middle grey, of pictures that it draws; 0 of a law without a formula.
    pub(crate) fn least_deviation(&self) -> f64 {
        let [low, _, others @ ..] = self.values;
        let least = Self { values: [low, low, others[0], others[1]], ..*self };
        least.moments(0.5).map_or(0.0, |moments| moments.variance.sqrt())
    }

    /// The camera that takes noisy pictures as a whole.
    pub(crate) fn camera(&self) -> Option<camera::Camera> {
        (self.law.camera)(self.values)
    }

    /// Number of its branch in `shaders/lib/noise.wgsl`.
    pub(crate) fn branch(&self) -> u8 {
        self.law.branch
    }

    /// What its branch reads as `PARAMETER`.
    pub(crate) fn parameter(&self) -> f32 {
        (self.law.parameter)(self.values)
    }

    /// Smallest and largest standard deviation of its Gaussian part, in units of the [0, 1] range.
    pub(crate) fn sigma(&self) -> [f32; 2] {
        (self.law.sigma)(self.values)
    }

    /// What draws the pixels of one exposure of a picture.
    pub(crate) fn sampler(&self, shot: Shot) -> Sampler {
        (self.law.sampler)(self.parameter(), shot)
    }
}

/// Every way to write a law, in one line: `gaussian:25, gaussian:0-50, ... or pixelate:8`.
pub fn grammar() -> String {
    let examples: Vec<&str> = LAWS.iter().flat_map(|law| law.examples).copied().collect();
    let (last, others) = examples.split_last().expect("there are laws");
    format!("{} or {last}", others.join(", "))
}

/// A line for every law: how it is written, and what it is.
pub fn help() -> String {
    let rows: Vec<(String, &str)> = LAWS.iter().map(|law| (law.examples.join(", "), law.help)).collect();
    let width = rows.iter().map(|(examples, _)| examples.len()).max().unwrap_or(0);
    let line = |(examples, help): &(String, &str)| format!("  {examples:width$}  {help}");
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Why a text is no noise law.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct ParseNoiseError {
    text: String,
    problem: String,
}

impl From<ParseNoiseError> for Error {
    fn from(e: ParseNoiseError) -> Self {
        Self::option("noise", format!("{}: {}", e.text, e.problem))
    }
}

impl FromStr for Noise {
    type Err = ParseNoiseError;

    fn from_str(text: &str) -> Result<Self, ParseNoiseError> {
        let (name, parameters) = text.split_once(':').unwrap_or((text, ""));
        let values = match LAWS.iter().find(|law| law.name == name) {
            Some(law) => law.parse(parameters).map(|values| Self { law, values }),
            None => Err(format!("there is no such noise law; write {}", grammar())),
        };
        values.map_err(|problem| ParseNoiseError { text: text.to_owned(), problem })
    }
}

impl fmt::Display for Noise {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}:{}", self.law.name, self.law.print(self.values))
    }
}

impl fmt::Debug for Noise {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialEq for Noise {
    fn eq(&self, other: &Self) -> bool {
        (self.law.name, self.values) == (other.law.name, other.values)
    }
}

impl Serialize for Noise {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Noise {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|e: ParseNoiseError| serde::de::Error::custom(Error::from(e)))
    }
}
