//! What renderers know of a pixel beside its colour, for networks that read it: the albedo of what is seen there, and its normal.
//! They are layers of the picture's own OpenEXR file, or pictures in files of their own.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::decode::decode_any;
use super::exr::{self, Vector};
use super::formats::extension;
use super::input;
use super::picture::Picture;
use crate::error::{Error, Result};

/// A feature, in the order that networks read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    /// The colour of the surface without light, 0 to 1.
    Albedo,
    /// The direction of the surface, -1 to 1 along each axis.
    Normal,
}

impl Feature {
    const ALL: [Self; 2] = [Self::Albedo, Self::Normal];

    fn name(self) -> &'static str {
        match self {
            Self::Albedo => "albedo",
            Self::Normal => "normal",
        }
    }

    /// Names of layers, the preferred first: small letters, without what separates words.
    fn layers(self) -> &'static [&'static str] {
        match self {
            Self::Albedo => &["denoisingalbedo", "denoisealbedo", "albedo", "diffusealbedo", "alb"],
            Self::Normal => &["denoisingnormal", "denoisenormal", "normal", "normals", "shnormal", "nrm", "ns", "n"],
        }
    }

    /// The place of a layer among [`Feature::layers`], by the last part of its name.
    fn rank(self, layer: &str) -> Option<usize> {
        let last = layer.rsplit('.').next().unwrap_or_default();
        let word: String = last.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
        self.layers().iter().position(|name| *name == word)
    }

    /// What networks read of a value, as Open Image Denoise has it (`input_process`): what is no number counts as 0.
    fn prepared(self, value: f32) -> f32 {
        let value = if value.is_nan() { 0.0 } else { value };
        match self {
            Self::Albedo => value.clamp(0.0, 1.0),
            Self::Normal => value.clamp(-1.0, 1.0) * 0.5 + 0.5,
        }
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where a feature comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FeatureSource {
    /// Which one.
    pub feature: Feature,
    /// A file, or a folder with a file of the picture's name; without one, a layer of the picture's own file.
    pub side: Option<PathBuf>,
}

impl FromStr for FeatureSource {
    type Err = String;

    /// `albedo`, or `albedo=PATH`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, side) = text.split_once('=').map_or((text, None), |(name, path)| (name, Some(PathBuf::from(path))));
        let feature = Feature::ALL.into_iter().find(|feature| feature.name() == name.trim());
        let feature = feature.ok_or_else(|| format!("{name}: features are albedo and normal"))?;
        Ok(Self { feature, side })
    }
}

impl TryFrom<String> for FeatureSource {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<FeatureSource> for String {
    fn from(FeatureSource { feature, side }: FeatureSource) -> Self {
        side.map_or_else(|| feature.to_string(), |side| format!("{feature}={}", side.display()))
    }
}

impl FeatureSource {
    /// The file beside a picture that has the feature, if it is not a layer.
    fn file(&self, picture: &Path) -> Result<Option<PathBuf>> {
        let Some(side) = self.side.as_deref().filter(|side| side.is_dir()) else { return Ok(self.side.clone()) };
        let stem = picture.file_stem().unwrap_or_default();
        let files = super::listing::list(&[side.to_owned()])?;
        let file = files.into_iter().find(|file| file.file_stem() == Some(stem));
        let feature = self.feature;
        file.map(Some)
            .ok_or_else(|| Error::file(side, format!("has no {feature} under the name of {}: put one there", picture.display())))
    }

    /// Its three values for every pixel of a picture of that name.
    fn read(&self, path: &Path, picture: &Picture) -> Result<Vec<f32>> {
        let found = match self.file(path)? {
            Some(side) => Plane::load(&side, self.feature)?,
            None => Plane::of_layers(path, picture.vectors(), self.feature)?,
        };
        let ([w, h], [width, height], feature) = (found.size, picture.header().size(), self.feature);
        if [w, h] != [width, height] {
            let problem = format!("its {feature} has {w}x{h} pixels, but its colours {width}x{height}: render both in one size");
            return Err(Error::file(path, problem));
        }
        Ok(found.values)
    }
}

/// A feature as its file has it.
struct Plane {
    /// Width, height.
    size: [usize; 2],
    /// `(H, W, 3)`.
    values: Vec<f32>,
}

impl Plane {
    /// The layer among `vectors` that is the feature.
    fn of_layers(path: &Path, vectors: Vec<Vector>, feature: Feature) -> Result<Self> {
        let best = vectors.iter().filter_map(|v| Some((feature.rank(&v.name)?, v))).min_by_key(|(rank, _)| *rank);
        if let Some((_, vector)) = best {
            return Ok(Self { size: vector.size, values: vector.values() });
        }
        let names: Vec<&str> = vectors.iter().map(|v| v.name.as_str()).filter(|name| !name.is_empty()).collect();
        let there = if names.is_empty() { "it has no named layers".to_owned() } else { format!("it has {}", names.join(", ")) };
        let looked = feature.layers().join(", ");
        let how = format!("write it into the file, or name files that have it as {feature}=FOLDER");
        Err(Error::file(path, format!("has no layer of three channels for {feature} (looked for {looked}; {there}): {how}")))
    }

    /// A file that has the feature alone, or as a layer.
    fn load(path: &Path, feature: Feature) -> Result<Self> {
        let (mut file, len) = input::open(path)?;
        let bytes = input::read_all(&mut file, len).map_err(|what| Error::file(path, what))?;
        if let Some(image) = exr::open(&bytes).map_err(|what| Error::file(path, what))? {
            let mut vectors = exr::vectors(&image);
            let named = vectors.iter().any(|v| feature.rank(&v.name).is_some());
            let only = if vectors.len() == 1 { Some(0) } else { vectors.iter().position(|v| v.name.is_empty()) };
            return match only {
                Some(only) if !named => {
                    let vector = vectors.swap_remove(only);
                    Ok(Self { size: vector.size, values: vector.values() })
                }
                _ => Self::of_layers(path, vectors, feature),
            };
        }
        let decoded = decode_any(&extension(path).unwrap_or_default(), &bytes).map_err(|what| Error::file(path, what))?;
        if !decoded.rows.is_linear() {
            let problem = format!("has values for a display, not those of {feature}: give OpenEXR, PFM or Radiance HDR");
            return Err(Error::file(path, problem));
        }
        let values = (0..decoded.rows.pixels()).flat_map(|i| decoded.rows.linear(i)).collect();
        Ok(Self { size: decoded.size, values })
    }
}

/// Features of a picture, as networks read them: albedo, then normals if there are any, all in `[0, 1]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    size: [usize; 2],
    channels: usize,
    /// `(H, W, C)`.
    values: Vec<f32>,
}

impl Features {
    /// Of `(H, W, 3)` values: albedo, clamped to `[0, 1]`, and normals, clamped to `[-1, 1]` and brought to `[0, 1]`. What is no
    /// number counts as 0.
    ///
    /// # Panics
    /// If there are not three values for every pixel.
    pub fn new([width, height]: [usize; 2], albedo: &[f32], normals: Option<&[f32]>) -> Self {
        let planes: Vec<(Feature, &[f32])> = Feature::ALL.into_iter().zip(std::iter::once(albedo).chain(normals)).collect();
        let pixels = width * height;
        assert!(
            planes.iter().all(|(_, values)| values.len() == 3 * pixels),
            "features: not three values a pixel of {width}x{height}"
        );
        let of_pixel = |i: usize| {
            let values = move |(feature, plane): &(Feature, &[f32])| [0, 1, 2].map(|c| feature.prepared(plane[3 * i + c]));
            planes.iter().flat_map(values).collect::<Vec<f32>>()
        };
        Self { size: [width, height], channels: 3 * planes.len(), values: (0..pixels).flat_map(of_pixel).collect() }
    }

    /// Reads the features of a picture: albedo, or albedo and normals. `path` is the file of the picture.
    ///
    /// # Errors
    /// If they are others, or one is missing, unreadable or of another size.
    pub fn read(path: &Path, picture: &Picture, sources: &[FeatureSource]) -> Result<Self> {
        let mut sources: Vec<&FeatureSource> = sources.iter().collect();
        sources.sort_by_key(|source| source.feature);
        if !sources.iter().map(|source| source.feature).eq(Feature::ALL.into_iter().take(sources.len().max(1))) {
            return Err(Error::option("aux", "networks read albedo, or albedo and normal: name these, each once"));
        }
        let planes = sources.iter().map(|source| source.read(path, picture)).collect::<Result<Vec<_>>>()?;
        Ok(Self::new(picture.header().size(), &planes[0], planes.get(1).map(Vec::as_slice)))
    }

    /// Width and height.
    pub fn size(&self) -> [usize; 2] {
        self.size
    }

    /// Values of a pixel: 3 of albedo alone, 6 with normals.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The values of pixel `i`, counted row by row.
    pub fn of_pixel(&self, i: usize) -> &[f32] {
        &self.values[i * self.channels..][..self.channels]
    }
}
