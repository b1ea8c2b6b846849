//! Noise laws on one pixel: the twin on the CPU of `shaders/lib/noise.wgsl`, in double precision.

use super::batch::{normal3, pcg4d, uniform};

/// A law that noise follows. Two exposures of a picture have independent noise. Values are in the [0, 1] range, neither clipped
/// nor rounded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Noise {
    /// x + N(0, s/255) with s uniform in [min, max] per picture.
    Gaussian {
        /// Smallest standard deviation, in grey levels of 255.
        min: f32,
        /// Largest standard deviation, in grey levels of 255.
        max: f32,
    },
    /// Poisson(peak x) / peak + N(0, s/255).
    Poisson {
        /// Mean count of white.
        peak: f32,
        /// Standard deviation of the Gaussian noise that is added, in grey levels of 255.
        sigma: f32,
    },
    /// Pixels are dropped, and known to be: they are black, and do not count as targets.
    Bernoulli {
        /// Probability of a pixel to be dropped.
        share: f32,
    },
    /// Pixels are replaced by a uniform random colour.
    Impulse {
        /// Probability of a pixel to be replaced.
        share: f32,
    },
    /// Random strings are written over the picture.
    Text {
        /// Share of the pixels that are written over.
        share: f32,
    },
    /// Gaussian noise that is blurred, and scaled to its standard deviation again.
    Brown {
        /// Standard deviation, in grey levels of 255.
        sigma: f32,
        /// Standard deviation of the blur, pixels.
        blur: f32,
    },
    /// Each square cell of the picture gives one random pixel of it; the clean picture is that of the means.
    Pixelate {
        /// Side of the cells, pixels.
        cell: usize,
    },
}

/// Digits and letters: five columns of seven bits each, the first bit of a column at the top; 28 bits and the other seven.
pub(crate) const GLYPHS: [[u32; 2]; 36] = [
    [0x8b268be, 0x3e],
    [0x81fe100, 0x00],
    [0x93470c2, 0x46],
    [0x97160a1, 0x31],
    [0xfe48a18, 0x10],
    [0x8b162a7, 0x39],
    [0x932653c, 0x30],
    [0x0a27881, 0x03],
    [0x93264b6, 0x36],
    [0x5326486, 0x1e],
    [0x22448fe, 0x7e],
    [0x93264ff, 0x36],
    [0x83060be, 0x22],
    [0x45060ff, 0x1c],
    [0x93264ff, 0x41],
    [0x12244ff, 0x01],
    [0x93260be, 0x7a],
    [0x102047f, 0x7f],
    [0x83fe080, 0x00],
    [0x7f06020, 0x01],
    [0x445047f, 0x41],
    [0x810207f, 0x40],
    [0x043017f, 0x7f],
    [0x202027f, 0x7f],
    [0x83060be, 0x3e],
    [0x12244ff, 0x06],
    [0x43460be, 0x5e],
    [0x52644ff, 0x46],
    [0x93264c6, 0x31],
    [0x03fc081, 0x01],
    [0x810203f, 0x3f],
    [0x410101f, 0x1f],
    [0x80e203f, 0x3f],
    [0x2820a63, 0x63],
    [0x11c0407, 0x07],
    [0x8b268e1, 0x43],
];

/// Sheets of text, one over the other.
const SHEETS: usize = 6;

/// Share of a letter's place, nine pixels high and six wide, that is ink, on average.
const INK: f64 = 538.0 / (36.0 * 54.0);

/// Where a pixel is: its number, row and column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub pixel: u32,
    pub row: u32,
    pub column: u32,
}

/// Random numbers of a step, for one of several exposures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stream {
    pub step: u32,
    pub seed: u32,
    pub exposure: u32,
}

impl Stream {
    /// Four integers for `key`, others for every `block`.
    fn numbers(self, key: u32, block: u32) -> [u32; 4] {
        pcg4d([key, self.step, self.seed, 2 + self.exposure + 16 * block])
    }

    /// A number uniform in (0, 1) that all of a picture, and all exposures, share.
    pub(crate) fn of_picture(self) -> f64 {
        uniform(pcg4d([0, self.step, self.seed, 1])[0])
    }

    /// White noise at a pixel.
    pub(crate) fn white(self, pixel: u32) -> [f64; 3] {
        normal3(self.numbers(pixel, 0))
    }
}

impl Noise {
    /// Number of the law in `batch.wgsl`; 0: none there.
    pub(super) fn law(&self) -> u8 {
        match self {
            Self::Gaussian { .. } => 1,
            Self::Poisson { .. } => 2,
            Self::Bernoulli { .. } => 3,
            Self::Impulse { .. } => 4,
            Self::Text { .. } => 5,
            Self::Pixelate { .. } => 6,
            Self::Brown { .. } => 0,
        }
    }

    /// Smallest and largest standard deviation of its Gaussian part, in units of the [0, 1] range.
    pub(crate) fn sigma(&self) -> (f32, f32) {
        match *self {
            Self::Gaussian { min, max } => (min / 255.0, max / 255.0),
            Self::Poisson { sigma, .. } | Self::Brown { sigma, .. } => (sigma / 255.0, sigma / 255.0),
            _ => (0.0, 0.0),
        }
    }

    /// Mean count of white.
    pub(super) fn peak(&self) -> f32 {
        if let Self::Poisson { peak, .. } = *self { peak } else { 1.0 }
    }

    /// Probability that the law needs: of a pixel, or of a string of text to be written.
    pub(super) fn share(&self) -> f32 {
        match *self {
            Self::Bernoulli { share } | Self::Impulse { share } => share,
            // A pixel stays free of six sheets with probability (1 - q INK)^6.
            Self::Text { share } => ((1.0 - (1.0 - f64::from(share)).powf(1.0 / SHEETS as f64)) / INK) as f32,
            _ => 0.0,
        }
    }

    /// Side of the cells that are one pixel each.
    pub fn cell(&self) -> usize {
        if let Self::Pixelate { cell } = *self { cell } else { 1 }
    }

    /// Standard deviation of the blur, pixels.
    pub fn blur(&self) -> Option<f32> {
        if let Self::Brown { blur, .. } = *self { Some(blur) } else { None }
    }

    /// Whether targets have pixels that are not known.
    pub fn masks(&self) -> bool {
        matches!(self, Self::Bernoulli { .. })
    }

    /// Whether noisy values are right on average, so that pairs of them tell how good a denoiser is.
    pub fn unbiased(&self) -> bool {
        !matches!(self, Self::Impulse { .. } | Self::Text { .. })
    }

    /// An exposure of a picture of that number, with noise of standard deviation `sigma` where the law has one.
    pub(crate) fn draw(self, stream: Stream, picture: u32, sigma: f64) -> Draw {
        let layout = |sheet: usize| stream.numbers(picture * 8 + sheet as u32, 2);
        let text = matches!(self, Self::Text { .. });
        let sheets = if text { std::array::from_fn(layout) } else { [[0; 4]; SHEETS] };
        Draw { noise: self, stream, picture, sigma, share: self.share().into(), sheets }
    }
}

/// How an exposure of a picture is drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draw {
    noise: Noise,
    stream: Stream,
    picture: u32,
    sigma: f64,
    share: f64,
    /// Of text: size and place of the letters of each sheet.
    sheets: [[u32; 4]; SHEETS],
}

impl Draw {
    /// A pixel, and whether it is known. Blurred noise and cells are not made here.
    pub(crate) fn pixel(&self, at: Place, clean: [f64; 3]) -> ([f64; 3], bool) {
        let Self { stream, share, .. } = *self;
        let plus = |mut v: [f64; 3]| {
            v.iter_mut().zip(stream.white(at.pixel)).for_each(|(v, z)| *v += self.sigma * z);
            v
        };
        match self.noise {
            Noise::Gaussian { .. } => (plus(clean), true),
            Noise::Poisson { peak, .. } => {
                let peak = f64::from(peak);
                let counted = poisson3(stream, at.pixel, clean.map(|v| peak * v), peak).map(|k| k / peak);
                (plus(counted), true)
            }
            Noise::Bernoulli { .. } => {
                let known = uniform(stream.numbers(at.pixel, 0)[0]) >= share;
                (if known { clean } else { [0.0; 3] }, known)
            }
            Noise::Impulse { .. } => {
                let u = stream.numbers(at.pixel, 0).map(uniform);
                (if u[0] < share { [u[1], u[2], u[3]] } else { clean }, true)
            }
            Noise::Text { .. } => (self.text(at).unwrap_or(clean), true),
            Noise::Brown { .. } | Noise::Pixelate { .. } => (clean, true),
        }
    }

    /// Of a cell at a pixel of the result: row and column of the pixel that is shown.
    pub(crate) fn chosen(&self, pixel: u32) -> (usize, usize) {
        let Stream { step, seed, exposure } = self.stream;
        let p = pcg4d([pixel, step, seed, 2 + exposure / 2]).map(|v| v as usize % self.noise.cell());
        let first = exposure as usize % 2 * 2;
        (p[first], p[first + 1])
    }

    /// The colour of what is written over a pixel, if anything is.
    fn text(&self, at: Place) -> Option<[f64; 3]> {
        let Self { stream, picture, share, .. } = *self;
        self.sheets.iter().zip(picture * 8..).find_map(|(layout, key)| {
            let size = 1 + layout[0] % 3;
            let (row, column) = ((at.row + layout[1] % 256) / size, (at.column + layout[2] % 256) / size);
            if row % 9 >= 7 || column % 6 >= 5 {
                return None;
            }
            let (line, letter) = (row / 9, column / 6);
            let exposure = 0x9e37_79b9_u32.wrapping_mul(1 + stream.exposure);
            let h = pcg4d([line * 65536 + letter / 8, key, stream.step, stream.seed ^ exposure]);
            if uniform(h[0]) >= share {
                return None;
            }
            let which = pcg4d([h[1], letter % 8, 0, 0])[0] % 36;
            let bit = column % 6 * 7 + row % 9;
            let word = GLYPHS[which as usize][usize::from(bit >= 28)];
            let colour = [h[2], h[2] >> 8, h[2] >> 16].map(|v| f64::from(v & 255) / 255.0);
            (word >> (bit % 28) & 1 != 0).then_some(colour)
        })
    }
}

/// Three Poisson numbers: sums of numbers of means up to 16, each by inversion (Devroye 1986, X.3).
fn poisson3(stream: Stream, pixel: u32, means: [f64; 3], peak: f64) -> [f64; 3] {
    let parts = (peak / 16.0).ceil();
    let mut total = [0.0; 3];
    for part in 1..=parts as u32 {
        let u = stream.numbers(pixel, part).map(uniform);
        for ((total, mean), &u) in total.iter_mut().zip(means).zip(&u) {
            let l = mean / parts;
            let (mut p, mut k) = ((-l).exp(), 0.0);
            let mut sum = p;
            while u > sum && p > 1e-9 && k < 99.0 {
                k += 1.0;
                p *= l / k;
                sum += p;
            }
            *total += k;
        }
    }
    total
}
