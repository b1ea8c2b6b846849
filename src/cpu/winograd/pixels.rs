//! Transforms of tiles of pixels.

use pulp::Simd;

use super::super::patches::Patches;
use super::super::registers::{load, prefetch};
use super::transforms::{Load, Store, Transform, both};
use super::{POINTS, SEEN, TILE};
use crate::graph::View;

/// Channels of a block: those of the widest register.
pub(super) const BLOCK: usize = 16;

/// Some channels of a transformed tile, by points.
pub(super) type Block = [[f32; BLOCK]; POINTS];

/// Pictures whose tiles are transformed.
#[derive(Clone, Copy)]
pub(super) struct Pictures<'a> {
    pub(super) view: &'a View,
    pub(super) x: &'a [f32],
    pub(super) channels: usize,
    /// What a pixel beyond the border is, to the last register.
    pub(super) zeros: &'a [f32],
    /// Which pixels the tiles have.
    pub(super) tiles: Patches,
}

impl Pictures<'_> {
    /// Transforms all channels of the tile (n, i, j) of `ROWS_IN` by `COLUMNS_IN` pixels.
    #[inline(always)]
    pub(super) fn transform<
        S,
        Down,
        Across,
        const ROWS_IN: usize,
        const COLUMNS_IN: usize,
        const ROWS_OUT: usize,
        const COLUMNS_OUT: usize,
    >(
        &self,
        simd: S,
        (n, i, j): (usize, usize, usize),
        to: &mut (impl Transformed<S> + ?Sized),
    ) where
        S: Simd,
        Down: Transform<ROWS_IN, ROWS_OUT>,
        Across: Transform<COLUMNS_IN, COLUMNS_OUT>,
    {
        let View { shape: [_, height, width], channel, stride, .. } = *self.view;
        let top = (i * self.tiles.source_step) as isize + self.tiles.first.0;
        let left = (j * self.tiles.source_step) as isize + self.tiles.first.1;
        let inside = |first: isize, seen: usize, size: usize| first >= 0 && first as usize + seen <= size;
        let first = ((n * height) as isize + top) * width as isize + left;
        let next = first * stride as isize + (channel + self.tiles.source_step * stride) as isize;
        let ahead = Ahead { next: self.x.as_ptr().wrapping_offset(next), row: width * stride, pixel: stride };
        if inside(top, ROWS_IN, height) && inside(left, COLUMNS_IN, width) {
            let values = &self.x[first as usize * stride + channel..];
            let inside = Inside { values, row: width * stride, pixel: stride };
            each_register::<S, Down, Across, ROWS_IN, COLUMNS_IN, ROWS_OUT, COLUMNS_OUT>(simd, &inside, ahead, self.channels, to);
        } else {
            let mut pixels = [[self.zeros; COLUMNS_IN]; ROWS_IN];
            for (r, pixels) in pixels.iter_mut().enumerate() {
                let row = top + r as isize;
                if row < 0 || row >= height as isize {
                    continue;
                }
                for (s, pixel) in pixels.iter_mut().enumerate() {
                    let column = left + s as isize;
                    if column >= 0 && column < width as isize {
                        let p = (n * height + row as usize) * width + column as usize;
                        *pixel = &self.x[p * stride + channel..];
                    }
                }
            }
            each_register::<S, Down, Across, ROWS_IN, COLUMNS_IN, ROWS_OUT, COLUMNS_OUT>(simd, &pixels, ahead, self.channels, to);
        }
    }

    /// Adds the pixels of a tile of `size` by `size` of them to `sums`.
    #[inline(always)]
    pub(super) fn sum(&self, (n, i, j): (usize, usize, usize), size: usize, sums: &mut [f32]) {
        let View { shape: [_, height, width], channel, stride, .. } = *self.view;
        let (top, left) = (i * size, j * size);
        for row in top..height.min(top + size) {
            for column in left..width.min(left + size) {
                let p = (n * height + row) * width + column;
                let pixel = &self.x[p * stride + channel..][..self.channels];
                for (sum, x) in sums.iter_mut().zip(pixel) {
                    *sum += x;
                }
            }
        }
    }
}

/// Where the registers of a transformed tile go.
pub(super) trait Transformed<S: Simd> {
    /// Where those go that belong to register number `register` of its pixels.
    fn register(&mut self, register: usize) -> impl Store<S>;
}

/// Channels by blocks, all points of a block one after the other.
impl<S: Simd> Transformed<S> for [Block] {
    #[inline(always)]
    fn register(&mut self, register: usize) -> impl Store<S> {
        let registers = BLOCK / S::F32_LANES;
        InBlock { block: &mut self[register / registers], register: register % registers }
    }
}

/// One register of the channels of a block.
struct InBlock<'a> {
    block: &'a mut Block,
    register: usize,
}

impl<S: Simd> Store<S> for InBlock<'_> {
    #[inline(always)]
    fn store(&mut self, row: usize, column: usize, value: S::f32s) {
        S::as_mut_simd_f32s(&mut self.block[row * SEEN + column]).0[self.register] = value;
    }
}

/// The pixels of a tile.
trait Tile {
    /// The elements of a pixel from `channel` on, and what lies behind them.
    fn from(&self, row: usize, column: usize, channel: usize) -> &[f32];
}

/// A tile within its picture: all elements from its first pixel on, and how many there are from a row or pixel to the next.
struct Inside<'a> {
    values: &'a [f32],
    row: usize,
    pixel: usize,
}

impl Tile for Inside<'_> {
    #[inline(always)]
    fn from(&self, row: usize, column: usize, channel: usize) -> &[f32] {
        &self.values[row * self.row + column * self.pixel + channel..]
    }
}

impl<const N: usize, const M: usize> Tile for [[&[f32]; N]; M] {
    #[inline(always)]
    fn from(&self, row: usize, column: usize, channel: usize) -> &[f32] {
        &self[row][column][channel..]
    }
}

/// Where the tile to the right lies. While a tile is transformed, its pixels are fetched that the tile does not have itself.
#[derive(Clone, Copy)]
struct Ahead {
    /// Its first pixel, which need not exist.
    next: *const f32,
    row: usize,
    pixel: usize,
}

#[inline(always)]
fn each_register<
    S,
    Down,
    Across,
    const ROWS_IN: usize,
    const COLUMNS_IN: usize,
    const ROWS_OUT: usize,
    const COLUMNS_OUT: usize,
>(
    simd: S,
    tile: &impl Tile,
    ahead: Ahead,
    channels: usize,
    to: &mut (impl Transformed<S> + ?Sized),
) where
    S: Simd,
    Down: Transform<ROWS_IN, ROWS_OUT>,
    Across: Transform<COLUMNS_IN, COLUMNS_OUT>,
{
    // The last register may have more than the channels: nothing that comes of it is stored.
    for register in 0..channels.div_ceil(S::F32_LANES) {
        let pixels = Register::<_, COLUMNS_IN> { tile, channel: register * S::F32_LANES, ahead };
        both::<S, Down, Across, ROWS_IN, COLUMNS_IN, ROWS_OUT, COLUMNS_OUT>(simd, &pixels, &mut to.register(register));
    }
}

/// One register of every pixel of a tile.
struct Register<'a, T, const COLUMNS: usize> {
    tile: &'a T,
    channel: usize,
    ahead: Ahead,
}

impl<S: Simd, T: Tile, const COLUMNS: usize> Load<S> for Register<'_, T, COLUMNS> {
    #[inline(always)]
    fn load(&self, simd: S, row: usize, column: usize) -> S::f32s {
        // The next tile has its first columns in common with this one.
        if column + TILE >= COLUMNS {
            let Ahead { next, row: of_row, pixel } = self.ahead;
            prefetch(next.wrapping_add(row * of_row + column * pixel + self.channel));
        }
        load(simd, self.tile.from(row, column, self.channel))
    }
}
