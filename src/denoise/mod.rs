//! Denoising of pictures of any size: padded to what the network divides by, and given to it whole, in strips from top to bottom,
//! or in tiles that overlap. Strips give the same picture as one pass, and compute no pixel twice where they are as wide as it.

mod evaluate;
mod room;
mod tiles;

use std::array::from_fn;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

pub use evaluate::{Evaluation, Scored, evaluate};
use rayon::prelude::*;

use crate::data::picture::{Picture, Rows};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::graph::{Graph, StorageId};
use crate::nets::{Anatomy, Model, Network, Ranges};
use crate::ops::Strips;
use crate::plan::Executor;

use room::{Layout, Room, forward};
use tiles::{Axis, Window, reflect};

/// Prepared layouts that are kept, as long as they fit the memory there is together.
const PREPARED: usize = 3;

/// A model on a device.
pub struct Denoiser {
    device: Device,
    network: Arc<dyn Network>,
    /// What sizes must divide by.
    multiple: usize,
    ranges: Ranges,
    params: Vec<f32>,
    prepared: Vec<Prepared>,
    room: Room,
}

struct Prepared {
    layout: Layout,
    executor: Box<dyn Executor>,
    params: StorageId,
    x: StorageId,
    y: StorageId,
    /// Where the strip lies, for the plan.
    control: Option<StorageId>,
    /// First row of `y` that is a result, and by how many rows results are behind.
    first: usize,
    lag: usize,
}

/// What came of a piece of a picture.
struct Piece<'a> {
    /// What of the picture it makes up.
    rows: Range<usize>,
    columns: Range<usize>,
    y: &'a [f32],
    /// Element of `y` that the first pixel begins at, and elements from a row to the next.
    first: usize,
    stride: usize,
    /// What 0 and 1 are in `y`.
    range: [f32; 2],
}

impl Piece<'_> {
    /// Colours of its pixels in a row of the picture.
    fn row(&self, row: usize) -> impl Iterator<Item = [f32; 3]> {
        let [low, high] = self.range;
        let pixels = self.y[self.first + (row - self.rows.start) * self.stride..].chunks_exact(4).take(self.columns.len());
        pixels.map(move |v| from_fn(|c| (v[c] - low) / (high - low)))
    }
}

impl std::fmt::Debug for Denoiser {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let network = self.network.name();
        f.debug_struct("Denoiser").field("network", &network).field("device", &self.device).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Prepared").field("layout", &self.layout).finish_non_exhaustive()
    }
}

impl Denoiser {
    /// Readies a model; `tile` limits the side of what the network is given at once, pixels.
    ///
    /// # Errors
    /// If the device cannot hold the smallest strip, or it is wider than `tile`.
    pub fn new(device: &Device, model: &Model, tile: Option<usize>) -> Result<Self> {
        Self::with_params(device, (Arc::clone(&model.network), model.ranges), model.params.clone(), tile)
    }

    /// Readies a network with these parameters.
    ///
    /// # Errors
    /// If the device cannot hold the smallest strip, or it is wider than `tile`.
    pub fn with_params(
        device: &Device,
        (network, ranges): (Arc<dyn Network>, Ranges),
        params: Vec<f32>,
        tile: Option<usize>,
    ) -> Result<Self> {
        let Anatomy { multiple, radius, .. } = Anatomy::of(network.as_ref());
        let room = Room::new(device, network.as_ref(), (multiple, radius), tile)?;
        Ok(Self { device: device.clone(), network, multiple, ranges, params, prepared: Vec::new(), room })
    }

    /// How a padded picture (height, width) is cut, made ready. Smaller where the device has not enough memory.
    fn fit(&mut self, picture: [usize; 2]) -> Result<Layout> {
        loop {
            let layout = self.room.layout(picture);
            match self.prepare(layout).map(|_| layout) {
                Err(Error::Memory(_)) if self.room.shrink() => {}
                other => return other,
            }
        }
    }

    /// Replaces the network's parameters.
    ///
    /// # Errors
    /// If the device is lost.
    pub fn set_params(&mut self, params: Vec<f32>) -> Result<()> {
        for p in &mut self.prepared {
            p.executor.write(p.params, &params)?;
        }
        self.params = params;
        Ok(())
    }

    fn prepare(&mut self, layout: Layout) -> Result<&mut Prepared> {
        if let Some(at) = self.prepared.iter().position(|p| p.layout == layout) {
            let found = self.prepared.remove(at);
            self.prepared.push(found);
        } else {
            let bytes = |p: &Prepared| p.executor.plan().bytes();
            while self.prepared.len() == PREPARED || self.prepared.iter().map(bytes).sum::<u64>() > self.room.kept_bytes() {
                self.prepared.remove(0);
            }
            let mut prepared = self.record(layout)?;
            prepared.executor.write(prepared.params, &self.params)?;
            self.prepared.push(prepared);
        }
        Ok(self.prepared.last_mut().expect("one was just put there"))
    }

    fn record(&self, layout: Layout) -> Result<Prepared> {
        let Layout { shape: [rows, columns], strips } = layout;
        let height = if strips { self.multiple } else { rows };
        let params = |g: &Graph| g.params_storage().expect("a network has parameters");
        let (mut g, x, y) = forward(self.network.as_ref(), [height, columns]);
        if !strips {
            let y = g.output("y", y);
            let (x, y) = (g.view(x).storage, g.view(y).storage);
            let params = params(&g);
            return Ok(Prepared { layout, executor: self.device.prepare(g)?, params, x, y, control: None, first: 0, lag: 0 });
        }
        let Strips { graph, x, control, y, first, lag } = g.in_strips(x, y, rows).expect("the layout is for such a network");
        let params = params(&graph);
        Ok(Prepared { layout, executor: self.device.prepare(graph)?, params, x, y, control: Some(control), first, lag })
    }

    /// Denoises a picture (H, W, 3) with values about [0, 1]; the result is not clipped.
    ///
    /// # Errors
    /// If the device fails, or gives values that are not finite.
    pub fn denoise(&mut self, rgb: &[f32], width: usize, height: usize) -> Result<Vec<f32>> {
        let out = self.run(rgb, width, height)?;
        if out.iter().all(|v| v.is_finite()) { Ok(out) } else { Err(not_finite(&self.device)) }
    }

    /// Denoises a photo, of which `strength` (0 to 1) is blended with the original. `progress` is told the share that is done, again
    /// and again.
    ///
    /// # Errors
    /// If the device fails, or gives values that are not finite.
    pub fn denoise_picture(&mut self, photo: &Picture, strength: f32, progress: impl FnMut(f64)) -> Result<Picture> {
        let mut all: Option<Rows> = None;
        self.denoise_rows(photo, strength, progress, |row| {
            match &mut all {
                Some(all) => all.append(row),
                None => all = Some(row),
            }
            Ok(())
        })?;
        Ok(Picture::new(photo.header().clone(), all.expect("a photo has rows")))
    }

    /// [`Denoiser::denoise_picture`], row by row: `emit` gets them from the top down, as soon as they are done. Beside the photo it takes
    /// the memory of a strip, and of rows that wait for others above them.
    ///
    /// # Errors
    /// If the device fails, or gives values that are not finite; that of `emit`, which ends the work.
    pub fn denoise_rows(
        &mut self,
        photo: &Picture,
        strength: f32,
        mut progress: impl FnMut(f64),
        mut emit: impl FnMut(Rows) -> Result<()>,
    ) -> Result<()> {
        let device = self.device.clone();
        let [width, height] = photo.header().size();
        // Rows that have begun, each with the number of its pixels that are done; and the first that has not been emitted.
        let mut begun: BTreeMap<usize, (usize, Rows)> = BTreeMap::new();
        let (mut top, mut done) = (0, 0);
        self.pieces(
            [height, width],
            |i| photo.rgb(i),
            |piece| {
                let mut rows: Vec<_> = piece.rows.clone().map(|y| (y, begun.remove(&y))).collect();
                let finite = rows.par_iter_mut().map(|(y, row)| {
                    let (count, row) = row.get_or_insert_with(|| (0, photo.row(*y)));
                    *count += piece.columns.len();
                    piece.columns.clone().zip(piece.row(*y)).all(|(x, denoised)| {
                        let noisy = photo.rgb(*y * width + x);
                        row.set_rgb(x, from_fn(|c| noisy[c] + strength * (denoised[c] - noisy[c])));
                        denoised.iter().all(|v| v.is_finite())
                    })
                });
                if !finite.reduce(|| true, |a, b| a && b) {
                    return Err(not_finite(&device));
                }
                begun.extend(rows.into_iter().filter_map(|(y, row)| Some((y, row?))));
                while let Some(next) = begun.first_entry().filter(|next| *next.key() == top && next.get().0 == width) {
                    emit(next.remove().1)?;
                    top += 1;
                }
                done += piece.rows.len() * piece.columns.len();
                progress(done as f64 / (width * height) as f64);
                Ok(())
            },
        )
    }

    /// [`Denoiser::denoise`] whatever the values.
    pub(crate) fn run(&mut self, rgb: &[f32], width: usize, height: usize) -> Result<Vec<f32>> {
        assert!(rgb.len() == width * height * 3 && width > 0 && height > 0, "denoise: {} values for {width}x{height}", rgb.len());
        let mut out = vec![0.0; rgb.len()];
        self.pieces(
            [height, width],
            |i| from_fn(|c| rgb[3 * i + c]),
            |piece| {
                let rows = out[3 * width * piece.rows.start..].par_chunks_exact_mut(3 * width).zip(piece.rows.clone());
                rows.for_each(|(row, y)| {
                    let to = row[3 * piece.columns.start..].chunks_exact_mut(3);
                    to.zip(piece.row(y)).for_each(|(to, v)| to.copy_from_slice(&v));
                });
                Ok(())
            },
        )?;
        Ok(out)
    }

    /// Denoises a picture of `size` (height, width) piece by piece. `load` gives the colour of a pixel, counted row by row; `store`
    /// takes what came of a piece. While the device works on a piece, the next one is loaded and the one before is stored.
    fn pieces(
        &mut self,
        [height, width]: [usize; 2],
        load: impl Fn(usize) -> [f32; 3] + Sync,
        mut store: impl FnMut(&Piece) -> Result<()>,
    ) -> Result<()> {
        let multiple = self.multiple;
        let [h, w] = [height, width].map(|size| size.next_multiple_of(multiple));
        let layout = self.fit([h, w])?;
        let overlap = self.room.overlap();
        let Ranges { input: [low, high], output } = self.ranges;
        let Prepared { executor, x: input, y: result, control, first, lag, .. } = self.prepare(layout)?;
        let [rows, columns] = layout.shape;
        let axis = |size, tile| Axis { size, tile, overlap, multiple }.windows();
        let windows =
            in_order(if layout.strips { strips(height, rows, *lag) } else { axis(h, rows) }, axis(w, columns), layout.strips);
        let mut store = |r: &Window, c: &Window, y: &[f32]| {
            let rows = r.keep.start..r.keep.end.min(height);
            store(&Piece {
                first: ((rows.start + *lag + *first - r.start) * columns + c.keep.start - c.start) * 4,
                rows,
                columns: c.keep.start..c.keep.end.min(width),
                stride: columns * 4,
                range: output,
                y,
            })
        };
        let mut x = vec![0.0; rows * columns * 4];
        let mut under_way = Vec::new();
        let mut work = || -> Result<()> {
            for window in windows.iter().map(Some).chain([None]) {
                if let Some((r, c)) = window {
                    // Rows below the picture are there for the results above them to come out.
                    let loaded = h.saturating_sub(r.start).min(rows) * columns * 4;
                    x[..loaded].par_chunks_exact_mut(columns * 4).enumerate().for_each(|(i, row)| {
                        let start = reflect(r.start + i, height) * width;
                        for (j, pixel) in row.chunks_exact_mut(4).enumerate() {
                            let values = load(start + reflect(c.start + j, width));
                            pixel.iter_mut().zip(values).for_each(|(to, v)| *to = low + v * (high - low));
                        }
                    });
                    if let Some(control) = control {
                        executor.write_ints(*control, &[r.start as u32, h as u32])?;
                    }
                    executor.write(*input, &x)?;
                    executor.run()?;
                    if !r.keep.is_empty() {
                        under_way.push((executor.read_later(*result)?, r, c));
                    }
                } else {
                    executor.wait()?;
                }
                for (ticket, y) in executor.finished_reads()? {
                    let (_, r, c) = under_way.iter().find(|(t, ..)| *t == ticket).expect("a piece was asked for");
                    store(r, c, &y)?;
                }
            }
            Ok(())
        };
        let done = work();
        if done.is_err() {
            // Reads of this picture may still be under way there; the next one must not get them.
            self.prepared.pop();
        }
        done
    }
}

/// Strips of `rows` rows down a picture, whose results are `lag` rows behind.
fn strips(height: usize, rows: usize, lag: usize) -> Vec<Window> {
    let behind = |row: usize| row.saturating_sub(lag).min(height);
    (0..height + lag).step_by(rows).map(|start| Window { start, keep: behind(start)..behind(start + rows) }).collect()
}

/// Rows and columns of all pieces in the order they are denoised: strips go down the picture before the next ones begin.
fn in_order(rows: Vec<Window>, columns: Vec<Window>, down: bool) -> Vec<(Window, Window)> {
    let [outer, inner] = if down { [columns, rows] } else { [rows, columns] };
    let pair = |outer: &Window, inner: Window| if down { (inner, outer.clone()) } else { (outer.clone(), inner) };
    outer.iter().flat_map(|outer| inner.iter().map(|inner| pair(outer, inner.clone()))).collect()
}

fn not_finite(device: &Device) -> Error {
    Error::device(device.name(), "the network gave values that are not finite: try the CPU or another model")
}
