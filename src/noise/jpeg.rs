//! What JPEG does to a picture: colours halved, blocks of 8x8 transformed and quantised (ITU-T T.81, JFIF). Without the coding,
//! which loses nothing.

use super::camera::Settings;
use crate::cpu::Real;

/// Side of what is compressed at once: of 8x8 blocks, if colours are halved.
pub(crate) const SIDE: usize = 16;
/// Its pixels.
const PIXELS: usize = SIDE * SIDE;

/// The tables of T.81, annex K: of brightness, and of colours.
#[rustfmt::skip]
const TABLES: [[u32; 64]; 2] = [
    [
        16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
        18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101,
        72, 92, 95, 98, 112, 100, 103, 99,
    ],
    [
        17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99,
        99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
    ],
];

/// Both tables at a quality of 1 to 99, as libjpeg scales them.
pub(crate) fn tables(quality: u32) -> [[u32; 64]; 2] {
    let scale = if quality < 50 { 5000 / quality } else { 200 - 2 * quality };
    TABLES.map(|table| table.map(|v| ((v * scale + 50) / 100).clamp(1, 255)))
}

impl<T: Real> Settings<T> {
    /// Band number `band` of sixteen rows, quantised: `put` is told row in it, column and values of all its pixels. Of a JPEG
    /// these are brightness and colours, for [`Settings::decompress`]; else sRGB. What blocks lack at the right and at the bottom
    /// repeats the last pixels.
    pub(crate) fn compress_band(
        &self,
        picture: impl Fn(usize, usize) -> [T; 3],
        [height, width]: [usize; 2],
        band: usize,
        mut put: impl FnMut(usize, usize, [T; 3]),
    ) {
        let top = band * SIDE;
        for left in (0..width).step_by(SIDE) {
            let at = |i: usize| picture((top + i / SIDE).min(height - 1), (left + i % SIDE).min(width - 1));
            let mut pixels = std::array::from_fn(at);
            self.compress(&mut pixels);
            for (i, rgb) in pixels.into_iter().enumerate() {
                if top + i / SIDE < height && left + i % SIDE < width {
                    put(i / SIDE, left + i % SIDE, rgb);
                }
            }
        }
    }

    fn is_jpeg(&self) -> bool {
        !matches!(self.quality, 0 | 100)
    }

    /// A pixel as it is read from a file: its sRGB value in [0, 1], from what [`Settings::compress_band`] put for all. Colours
    /// that are halved are interpolated, as decoders do.
    pub(crate) fn decompress(
        &self,
        put: impl Fn(usize, usize) -> [T; 3],
        [height, width]: [usize; 2],
        [row, column]: [usize; 2],
    ) -> [T; 3] {
        let own = put(row, column);
        if !self.is_jpeg() {
            return own;
        }
        if !self.halved {
            return rgb_of(own).map(byte);
        }
        // Three quarters of the nearer of two, along both axes. All pixels of four have their colour.
        let other = |at: usize, n: usize| if at.is_multiple_of(2) { at.saturating_sub(1) } else { (at + 1).min(n - 1) };
        let (above, beside) = (other(row, height), other(column, width));
        let [a, b, c] = [put(above, column), put(row, beside), put(above, beside)];
        let colour = |i: usize| (T::of(9.0) * own[i] + T::of(3.0) * (a[i] + b[i]) + c[i]) / T::of(16.0);
        rgb_of([own[0], colour(1), colour(2)]).map(byte)
    }

    fn compress(&self, pixels: &mut [[T; 3]; PIXELS]) {
        match self.quality {
            0 => {}
            100 => pixels.iter_mut().flatten().for_each(|v| *v = byte(*v * T::of(255.0))),
            quality => compress(pixels, tables(quality), self.halved),
        }
    }
}

/// The nearest of 256 levels, in [0, 1].
fn byte<T: Real>(level: T) -> T {
    (level + T::of(0.5)).floor().max(T::zero()).min(T::of(255.0)) / T::of(255.0)
}

fn compress<T: Real>(pixels: &mut [[T; 3]; PIXELS], tables: [[u32; 64]; 2], halved: bool) {
    let transform = basis();
    // Four blocks of each component, or one of a colour that is halved.
    let mut planes = [[T::zero(); PIXELS]; 3];
    for (at, rgb) in pixels.iter().enumerate() {
        let [y, cb, cr] = ycc(rgb.map(|v| v * T::of(255.0)));
        [planes[0][at], planes[1][at], planes[2][at]] = [y - T::of(128.0), cb, cr];
    }
    for (component, plane) in planes.iter_mut().enumerate() {
        let table = &tables[component.min(1)];
        let halved = halved && component > 0;
        for block in 0..if halved { 1 } else { 4 } {
            let place = |i: usize| (block / 2 * 8 + i / 8) * SIDE + block % 2 * 8 + i % 8;
            let four = |i: usize| [0, 1, SIDE, SIDE + 1].map(|by| i / 8 * 2 * SIDE + i % 8 * 2 + by);
            let values = std::array::from_fn(|i| match halved {
                true => four(i).map(|at| plane[at]).into_iter().sum::<T>() / T::of(4.0),
                false => plane[place(i)],
            });
            for (i, v) in quantised(values, table, &transform).into_iter().enumerate() {
                match halved {
                    true => four(i).into_iter().for_each(|at| plane[at] = v),
                    false => plane[place(i)] = v,
                }
            }
        }
    }
    for (at, ycc) in pixels.iter_mut().enumerate() {
        *ycc = [planes[0][at] + T::of(128.0), planes[1][at], planes[2][at]];
    }
}

/// Row u, column k: the cosine transform's c(u) cos((2k + 1) u pi / 16), orthonormal.
fn basis<T: Real>() -> [[T; 8]; 8] {
    let scale = |u: usize| if u == 0 { 0.125_f64.sqrt() } else { 0.5 };
    let entry = |u: usize, k: usize| scale(u) * ((2 * k + 1) as f64 * u as f64 * std::f64::consts::PI / 16.0).cos();
    std::array::from_fn(|u| std::array::from_fn(|k| T::of(entry(u, k))))
}

/// A block, transformed, rounded to multiples of the table, and transformed back.
fn quantised<T: Real>(block: [T; 64], table: &[u32; 64], basis: &[[T; 8]; 8]) -> [T; 64] {
    // Along the rows, then along the columns.
    let pass = |x: &[T; 64], forward: bool, rows: bool| -> [T; 64] {
        std::array::from_fn(|i| {
            let (u, v) = (i / 8, i % 8);
            let term = |k: usize| {
                let (to, value) = if rows { (v, x[u * 8 + k]) } else { (u, x[k * 8 + v]) };
                value * if forward { basis[to][k] } else { basis[k][to] }
            };
            (0..8).map(term).sum()
        })
    };
    let mut f = pass(&pass(&block, true, true), true, false);
    for (f, &q) in f.iter_mut().zip(table) {
        let q = T::of(q.into());
        *f = (*f / q + T::of(0.5)).floor() * q;
    }
    pass(&pass(&f, false, true), false, false)
}

/// Brightness and colours of JFIF, these about 0.
fn ycc<T: Real>([r, g, b]: [T; 3]) -> [T; 3] {
    let dot = |w: [f64; 3]| T::of(w[0]) * r + T::of(w[1]) * g + T::of(w[2]) * b;
    [[0.299, 0.587, 0.114], [-0.168_735_89, -0.331_264_11, 0.5], [0.5, -0.418_687_59, -0.081_312_41]].map(dot)
}

fn rgb_of<T: Real>([y, cb, cr]: [T; 3]) -> [T; 3] {
    [y + T::of(1.402) * cr, y - T::of(0.344_136_29) * cb - T::of(0.714_136_29) * cr, y + T::of(1.772) * cb]
}
