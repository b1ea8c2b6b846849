//! A network made ready for pieces of one shape, and the work on all pieces of a picture: while the device works on a piece, the
//! next one is loaded and the one before is stored.

use std::array::from_fn;
use std::ops::Range;

use rayon::prelude::*;

use super::budget::{Budget, Cut, CutKind, Place};
use super::windows::reflect;
use crate::device::Device;
use crate::error::Result;
use crate::graph::{StorageId, pad4};
use crate::nets::{Network, Ranges, Transfer};
use crate::ops::Strips;
use crate::plan::{Executor, Ticket};

/// A network on a device, for pieces of one shape.
pub(super) struct Prepared {
    pub cut: Cut,
    executor: Box<dyn Executor>,
    x: StorageId,
    y: StorageId,
    params: Option<StorageId>,
    /// Where the strip lies, for the plan.
    control: Option<StorageId>,
    /// Row of `y` that results begin at.
    first: usize,
    /// Rows by which results are behind.
    pub lag: usize,
}

/// A picture to denoise, as its pieces are made of it.
pub(super) struct Original<F> {
    /// Height and width.
    pub size: [usize; 2],
    /// The height that it is padded to.
    pub padded_height: usize,
    /// Writes a pixel's values, counted row by row: its colour, and those of features behind it.
    pub load: F,
    /// How many these are.
    pub channels: usize,
    /// How many of them are of a colour.
    pub colours: usize,
    /// What the network reads and writes.
    pub ranges: Ranges,
    /// What values go through before that.
    pub transfer: Transfer,
}

/// What came of a piece of a picture.
pub(super) struct Piece<'a> {
    /// What of the picture it makes up.
    pub rows: Range<usize>,
    pub columns: Range<usize>,
    /// Results, four values a pixel.
    y: &'a [f32],
    /// Element of `y` that the first pixel begins at, and elements from a row to the next.
    first: usize,
    stride: usize,
    /// Values of black and white in `y`.
    range: [f32; 2],
    transfer: Transfer,
    /// Values of a colour in `y`.
    colours: usize,
}

impl Piece<'_> {
    /// Colours of its pixels in a row of the picture; those of grey ones are equal.
    pub(super) fn row(&self, row: usize) -> impl Iterator<Item = [f32; 3]> {
        let [low, high] = self.range;
        let pixels = self.y[self.first + (row - self.rows.start) * self.stride..].chunks_exact(4).take(self.columns.len());
        pixels.map(move |v| from_fn(|c| self.transfer.inverse((v[c.min(self.colours - 1)] - low) / (high - low))))
    }
}

impl<F: Fn(usize, &mut [f32]) + Sync> Original<F> {
    /// Writes the pixels that the network sees of a piece into `x` (rows, columns, C); the picture is mirrored beyond its edges.
    fn fill(&self, place: &Place, columns: usize, x: &mut [f32]) {
        let ([height, width], [low, high]) = (self.size, self.ranges.input);
        // Rows below the padded picture are there for the results above them to come out, and may be anything.
        let rows = self.padded_height.saturating_sub(place.rows.start);
        let stride = pad4(self.channels);
        x.par_chunks_exact_mut(columns * stride).take(rows).enumerate().for_each(|(i, row)| {
            let start = reflect(place.rows.start + i, height) * width;
            for (j, pixel) in row.chunks_exact_mut(stride).enumerate() {
                let pixel = &mut pixel[..self.channels];
                (self.load)(start + reflect(place.columns.start + j, width), pixel);
                pixel[..self.colours].iter_mut().for_each(|v| *v = self.transfer.forward(*v));
                pixel.iter_mut().for_each(|v| *v = low + *v * (high - low));
            }
        });
    }
}

impl Prepared {
    /// Records the network for pieces of that shape, and plans it. Fails if it does not fit the device.
    pub(super) fn new(device: &Device, network: &dyn Network, budget: &Budget, cut: Cut) -> Result<Self> {
        let [rows, columns] = cut.shape;
        let (graph, x, y, control, first, lag);
        match cut.kind {
            CutKind::Strips => {
                let (g, from, to) = network.forward([1, budget.multiple(), columns], network.inputs());
                let strips = g.in_strips(from, to, rows).expect("only networks that run in strips are cut into them");
                control = Some(strips.control);
                Strips { graph, x, y, first, lag, .. } = strips;
            }
            CutKind::Whole | CutKind::Tiles => {
                let (mut g, from, to) = network.forward([1, rows, columns], network.inputs());
                let to = g.output("y", to);
                (x, y, control, first, lag) = (g.view(from).storage, g.view(to).storage, None, 0, 0);
                graph = g;
            }
        }
        let params = graph.params_storage();
        Ok(Self { cut, executor: device.prepare(graph)?, x, y, params, control, first, lag })
    }

    /// Bytes on the device.
    pub(super) fn bytes(&self) -> u64 {
        self.executor.plan().bytes()
    }

    /// Gives the network these parameters. Fails if the device is lost.
    pub(super) fn set_params(&mut self, params: &[f32]) -> Result<()> {
        self.params.map_or(Ok(()), |id| self.executor.write(id, params))
    }

    /// Runs the network on pieces one after the other; `store` gets what came of each, in order.
    /// Fails if the device fails; that of `store`, which ends the work. Reads may still be under way then.
    pub(super) fn run<F: Fn(usize, &mut [f32]) + Sync>(
        &mut self,
        original: &Original<F>,
        places: &[Place],
        store: &mut impl FnMut(&Piece) -> Result<()>,
    ) -> Result<()> {
        let [rows, columns] = self.cut.shape;
        let mut x = vec![0.0; rows * columns * pad4(original.channels)];
        let mut under_way = Vec::new();
        for place in places {
            original.fill(place, columns, &mut x);
            if let Some(control) = self.control {
                self.executor.write_ints(control, &[place.rows.start as u32, original.padded_height as u32])?;
            }
            self.executor.write(self.x, &x)?;
            self.executor.run()?;
            if !place.rows.keep.is_empty() {
                under_way.push((self.executor.read_later(self.y)?, place));
            }
            self.store_finished(original, &under_way, store)?;
        }
        self.executor.wait()?;
        self.store_finished(original, &under_way, store)
    }

    fn store_finished<F>(
        &mut self,
        original: &Original<F>,
        under_way: &[(Ticket, &Place)],
        store: &mut impl FnMut(&Piece) -> Result<()>,
    ) -> Result<()> {
        for (ticket, y) in self.executor.finished_reads()? {
            let (_, place) = under_way.iter().find(|(t, _)| *t == ticket).expect("a piece was asked for");
            store(&self.piece(original, place, &y))?;
        }
        Ok(())
    }

    fn piece<'y, F>(&self, original: &Original<F>, Place { rows, columns }: &Place, y: &'y [f32]) -> Piece<'y> {
        let [height, width] = original.size;
        let [_, row] = self.cut.shape;
        let keep = rows.keep.start..rows.keep.end.min(height);
        Piece {
            first: ((keep.start + self.lag + self.first - rows.start) * row + columns.keep.start - columns.start) * 4,
            rows: keep,
            columns: columns.keep.start..columns.keep.end.min(width),
            stride: row * 4,
            range: original.ranges.output,
            transfer: original.transfer,
            colours: original.colours,
            y,
        }
    }
}
