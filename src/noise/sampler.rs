//! What laws draw pixels from: the CPU twin of the shared part of `shaders/lib/noise.wgsl`, in double precision.

use crate::ops::rng::{normal3, pcg4d, uniform};

/// Where a pixel is: its number, row and column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) pixel: u32,
    pub(crate) row: u32,
    pub(crate) column: u32,
}

/// Random numbers of a step, for one of several exposures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stream {
    pub(crate) step: u32,
    pub(crate) seed: u32,
    pub(crate) exposure: u32,
}

/// One exposure of a picture.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shot {
    pub(crate) stream: Stream,
    /// Number of the picture.
    pub(crate) picture: u32,
    /// Standard deviation of its Gaussian noise, in units of the [0, 1] range.
    pub(crate) sigma: f64,
}

/// Gives a pixel of an exposure, from its place and clean value, and whether it is known.
pub(crate) type Sampler = Box<dyn Fn(Place, [f64; 3]) -> ([f64; 3], bool) + Send + Sync>;

impl Stream {
    /// Four integers for `key`, others for every `block`.
    pub(crate) fn numbers(self, key: u32, block: u32) -> [u32; 4] {
        pcg4d([key, self.step, self.seed, 2 + self.exposure + 16 * block])
    }

    /// A number uniform in (0, 1) that all of picture `number`, and all its exposures, share.
    pub(crate) fn of_picture(self, number: u32) -> f64 {
        uniform(pcg4d([number, self.step, self.seed, 1])[0])
    }

    /// White noise at a pixel.
    pub(crate) fn white(self, pixel: u32) -> [f64; 3] {
        normal3(self.numbers(pixel, 0))
    }

    /// Row and column of the pixel that a cell of that side shows, at a pixel of the result. Two exposures share the four
    /// integers of one draw.
    pub(crate) fn in_cell(self, pixel: u32, cell: usize) -> (usize, usize) {
        let p = pcg4d([pixel, self.step, self.seed, 2 + self.exposure / 2]).map(|v| v as usize % cell);
        let first = self.exposure as usize % 2 * 2;
        (p[first], p[first + 1])
    }
}

impl Shot {
    /// `values` of a pixel with Gaussian noise added.
    pub(super) fn plus_gaussian(self, pixel: u32, mut values: [f64; 3]) -> [f64; 3] {
        values.iter_mut().zip(self.stream.white(pixel)).for_each(|(v, z)| *v += self.sigma * z);
        values
    }
}
