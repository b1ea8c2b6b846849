//! Samples of pictures, as files hold them, and the values that a network gets of them.

use std::borrow::Cow;

use half::f16;

use super::transfer::Transfer;

/// How precise samples are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// Black or white. In memory, bytes.
    One,
    Eight,
    Sixteen,
    /// IEEE half precision.
    Half,
    /// Radiance: three mantissas of eight bits with an exponent that they share. In memory, single precision.
    SharedExponent,
    /// IEEE single precision.
    Float,
}

impl Depth {
    /// Bytes of a sample in memory.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::One | Self::Eight => 1,
            Self::Sixteen | Self::Half => 2,
            Self::SharedExponent | Self::Float => 4,
        }
    }

    pub(super) fn is_float(self) -> bool {
        matches!(self, Self::Half | Self::SharedExponent | Self::Float)
    }

    /// Whether it holds all that samples of another depth say. Half precision has a mantissa of 11 bits.
    pub(super) fn holds(self, other: Self) -> bool {
        match other {
            Self::One => true,
            Self::Eight => !matches!(self, Self::One | Self::SharedExponent),
            Self::Sixteen => matches!(self, Self::Sixteen | Self::Float),
            Self::Half => matches!(self, Self::Half | Self::Float),
            Self::SharedExponent => matches!(self, Self::SharedExponent | Self::Float),
            Self::Float => self == Self::Float,
        }
    }
}

/// What samples a pixel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Color {
    /// One sample in place of red, green and blue.
    pub(super) grey: bool,
    /// One more sample, the last.
    pub(super) alpha: bool,
    pub(super) depth: Depth,
}

impl Color {
    /// Of so many channels, 1 to 4.
    pub(super) fn new(channels: usize, depth: Depth) -> Self {
        Self { grey: channels < 3, alpha: channels.is_multiple_of(2), depth }
    }

    pub(super) fn channels(self) -> usize {
        self.colours() + usize::from(self.alpha)
    }

    /// Channels but alpha.
    pub(super) fn colours(self) -> usize {
        if self.grey { 1 } else { 3 }
    }

    /// Bytes of a pixel in memory.
    pub(super) fn bytes(self) -> usize {
        self.channels() * self.depth.bytes()
    }
}

/// Samples in memory.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Samples {
    Bytes(Vec<u8>),
    Words(Vec<u16>),
    Halves(Vec<f16>),
    Floats(Vec<f32>),
}

/// What is to be done with samples of any type.
macro_rules! each {
    ($samples:expr, $v:ident => $do:expr) => {
        match $samples {
            Samples::Bytes($v) => $do,
            Samples::Words($v) => $do,
            Samples::Halves($v) => $do,
            Samples::Floats($v) => $do,
        }
    };
    ($samples:expr, $v:ident => same $do:expr) => {
        match $samples {
            Samples::Bytes($v) => Samples::Bytes($do),
            Samples::Words($v) => Samples::Words($do),
            Samples::Halves($v) => Samples::Halves($do),
            Samples::Floats($v) => Samples::Floats($do),
        }
    };
}

impl Samples {
    pub(super) fn len(&self) -> usize {
        each!(self, v => v.len())
    }

    pub(super) fn bytes(&self) -> &[u8] {
        each!(self, v => bytemuck::cast_slice(v))
    }

    pub(super) fn slice(&self, range: std::ops::Range<usize>) -> Self {
        each!(self, v => same v[range].to_vec())
    }

    /// The samples at places that are given one by one.
    pub(super) fn gather(&self, places: impl Iterator<Item = usize>) -> Self {
        each!(self, v => same places.map(|at| v[at]).collect())
    }

    /// Adds more behind. Panics if they have another type.
    fn append(&mut self, more: Self) {
        match (self, more) {
            (Self::Bytes(all), Self::Bytes(more)) => all.extend(more),
            (Self::Words(all), Self::Words(more)) => all.extend(more),
            (Self::Halves(all), Self::Halves(more)) => all.extend(more),
            (Self::Floats(all), Self::Floats(more)) => all.extend(more),
            _ => panic!("rows of two depths"),
        }
    }

    /// A sample as a number: of whole ones, the share of the largest.
    pub(super) fn value(&self, at: usize) -> f32 {
        match self {
            Self::Bytes(v) => f32::from(v[at]) / 255.0,
            Self::Words(v) => f32::from(v[at]) / 65_535.0,
            Self::Halves(v) => v[at].to_f32(),
            Self::Floats(v) => v[at],
        }
    }

    /// The nearest sample. Whole ones are clamped, and NaN is 0; of floating point, what is too large becomes the largest.
    fn set(&mut self, at: usize, value: f32) {
        match self {
            Self::Bytes(v) => v[at] = byte(value),
            Self::Words(v) => v[at] = word(value),
            Self::Halves(v) => v[at] = half(value),
            Self::Floats(v) => v[at] = value.clamp(f32::MIN, f32::MAX),
        }
    }
}

/// The nearest of 256 levels; the cast clamps, and makes NaN 0.
pub(super) fn byte(value: f32) -> u8 {
    (value * 255.0 + 0.5) as u8
}

/// The nearest of 65,536 levels, likewise.
pub(super) fn word(value: f32) -> u16 {
    (value * 65_535.0 + 0.5) as u16
}

fn half(value: f32) -> f16 {
    f16::from_f32(value.clamp(f16::MIN.to_f32(), f16::MAX.to_f32()))
}

fn mean(rgb: [f32; 3]) -> f32 {
    rgb.iter().sum::<f32>() / 3.0
}

/// Some whole rows of a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    pub(super) color: Color,
    pub(super) transfer: Transfer,
    /// `(H, W, C)`.
    pub(super) samples: Samples,
}

impl Rows {
    /// Pixels of all of them.
    pub fn pixels(&self) -> usize {
        self.samples.len() / self.color.channels()
    }

    /// Adds rows below. Panics if they have another depth.
    pub(crate) fn append(&mut self, below: Self) {
        self.samples.append(below.samples);
    }

    /// Colour of pixel `i` of these rows, as [`Picture::rgb`](super::picture::Picture::rgb) gives it.
    pub fn rgb(&self, i: usize) -> [f32; 3] {
        self.colour(i, |v| self.transfer.encode(v))
    }

    /// The same in linear light, as [`Picture::linear`](super::picture::Picture::linear) gives it.
    pub fn linear(&self, i: usize) -> [f32; 3] {
        match self.transfer {
            Transfer::Display => self.colour(i, |v| Transfer::Linear.decode(v)),
            _ => self.colour(i, |v| v),
        }
    }

    fn colour(&self, i: usize, of: impl Fn(f32) -> f32) -> [f32; 3] {
        let at = i * self.color.channels();
        let value = |c: usize| of(self.samples.value(at + c));
        if self.color.grey { [value(0); 3] } else { [value(0), value(1), value(2)] }
    }

    /// Whether samples are linear light.
    pub(super) fn is_linear(&self) -> bool {
        self.transfer == Transfer::Linear
    }

    /// Gives pixel `i` another colour, rounded to what the samples hold, clamped where they are whole numbers; in a grey picture
    /// the mean of the three. Its alpha stays.
    pub(crate) fn set_rgb(&mut self, i: usize, rgb: [f32; 3]) {
        let transfer = self.transfer;
        self.set(i, rgb, |v| transfer.decode(v));
    }

    /// The same of linear light.
    pub(crate) fn set_linear(&mut self, i: usize, rgb: [f32; 3]) {
        match self.transfer {
            Transfer::Display => self.set(i, rgb, |v| Transfer::Linear.encode(v)),
            _ => self.set(i, rgb, |v| v),
        }
    }

    fn set(&mut self, i: usize, rgb: [f32; 3], of: impl Fn(f32) -> f32) {
        let grey = [mean(rgb)];
        let values = if self.color.grey { &grey[..] } else { &rgb[..] };
        let at = i * self.color.channels();
        values.iter().enumerate().for_each(|(c, &v)| self.samples.set(at + c, of(v)));
    }

    /// The samples as a file of another colour and transfer has them, in the byte order of the machine.
    pub(super) fn bytes_as(&self, color: Color, transfer: Transfer) -> Cow<'_, [u8]> {
        // Between values that mean the same, no transfer, which would round.
        let plain = transfer.is_same(self.transfer);
        let as_they_are = (color.channels(), color.depth.bytes(), color.depth.is_float())
            == (self.color.channels(), self.color.depth.bytes(), self.color.depth.is_float());
        if as_they_are && plain {
            return Cow::Borrowed(self.samples.bytes());
        }
        let channels = self.color.channels();
        let pixels = (0..self.pixels()).flat_map(|i| {
            let value = |c: usize| self.samples.value(i * channels + c);
            let colour = |c: usize| if plain { value(c) } else { transfer.decode(self.transfer.encode(value(c))) };
            let rgb = if self.color.grey { [colour(0); 3] } else { [colour(0), colour(1), colour(2)] };
            let alpha = if self.color.alpha { value(channels - 1) } else { 1.0 };
            let [r, g, b] = if color.grey { [mean(rgb), alpha, 0.0] } else { rgb };
            [r, g, b, alpha].into_iter().take(color.channels())
        });
        Cow::Owned(match color.depth {
            Depth::One | Depth::Eight => pixels.map(byte).collect(),
            Depth::Sixteen => pixels.flat_map(|v| word(v).to_ne_bytes()).collect(),
            Depth::Half => pixels.flat_map(|v| half(v).to_ne_bytes()).collect(),
            Depth::SharedExponent | Depth::Float => pixels.flat_map(f32::to_ne_bytes).collect(),
        })
    }

    /// What values of floating point are where the file does not say it: those within about [0, 1] are of a display, others
    /// linear light.
    pub(super) fn likely_transfer(&self) -> Transfer {
        if !self.color.depth.is_float() || self.are_within(-0.25..=1.25) { Transfer::Display } else { Transfer::Linear }
    }

    /// Whether all colour values are in a range.
    fn are_within(&self, range: std::ops::RangeInclusive<f32>) -> bool {
        let (channels, colours) = (self.color.channels(), self.color.colours());
        (0..self.samples.len()).all(|at| at % channels >= colours || range.contains(&self.samples.value(at)))
    }

    /// Place of the first colour value that is no number or infinite, counted in pixels.
    pub(super) fn first_not_finite(&self) -> Option<usize> {
        let (channels, colours) = (self.color.channels(), self.color.colours());
        let finite = |i: &usize| (0..colours).all(|c| self.samples.value(i * channels + c).is_finite());
        self.color.depth.is_float().then(|| (0..self.pixels()).find(|i| !finite(i)))?
    }
}
