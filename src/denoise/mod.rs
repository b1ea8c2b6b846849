//! Denoising of pictures of any size: padded to what the network divides by, and cut into tiles that overlap by what a
//! pixel sees, so that tiles give the same picture as one pass.

mod evaluate;
mod tiles;

use std::array::from_fn;

pub use evaluate::{Evaluation, Scored, evaluate};

use crate::data::photo::Photo;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::graph::{Graph, StorageId};
use crate::nets::{Model, NetOptions, Ranges};
use crate::plan::{Executor, Plan};

use tiles::{Axis, Window, reflect};

/// Memory that a tile may take beside the picture, with all that is on its way to the device and back, bytes. A photograph
/// must do with 300 MiB; the program itself and the bytes of a file being written take the rest.
const MEMORY: u64 = 160 << 20;
/// Memory of a discrete GPU that a tile's intermediates may take, bytes.
const DEVICE_MEMORY: u64 = 2 << 30;
/// Bytes per pixel of a tile's input and output, four channels each, on the CPU: in the plan, and on this side of it.
const CPU_COPIES: u64 = 4 * 16;
/// The same on an adapter, where up to three tiles are under way, each with an upload and a readback.
const ADAPTER_COPIES: u64 = CPU_COPIES + 3 * 2 * 16;
/// Overlap where a pixel depends on all others (GroupNorm), so that no overlap is exact.
const OVERLAP: usize = 64;
/// Prepared tile shapes that are kept, as long as they fit the memory of the largest tile together.
const PREPARED: usize = 3;

/// A model on a device.
#[derive(Debug)]
pub struct Denoiser {
    device: Device,
    options: NetOptions,
    ranges: Ranges,
    params: Vec<f32>,
    prepared: Vec<Prepared>,
    /// Largest side of a tile.
    side: usize,
    /// Most pixels of a tile.
    area: usize,
    overlap: usize,
    /// How far a pixel sees, if the device cannot hold tiles that overlap by as much.
    seen: Option<usize>,
}

struct Prepared {
    shape: [usize; 2],
    executor: Box<dyn Executor>,
    x: StorageId,
    y: StorageId,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Prepared").field("shape", &self.shape).finish_non_exhaustive()
    }
}

fn forward(options: &NetOptions, shape: [usize; 2]) -> (Graph, StorageId, StorageId) {
    let mut g = Graph::new();
    let x = g.host_picture("x", [1, shape[0], shape[1]], 3);
    let y = options.record(&mut g, x);
    let y = g.output("y", y);
    let (x, y) = (g.view(x).storage, g.view(y).storage);
    (g, x, y)
}

impl Denoiser {
    /// Readies a model; `tile` limits the side of tiles, pixels.
    ///
    /// # Errors
    /// If the device cannot hold a tile that is larger than a short overlap.
    pub fn new(device: &Device, model: &Model, tile: Option<usize>) -> Result<Self> {
        let Model { metadata, params } = model;
        Self::with_params(device, (metadata.options, metadata.ranges()), params.clone(), tile)
    }

    /// Readies a network with these parameters.
    ///
    /// # Errors
    /// If the device cannot hold a tile that is larger than a short overlap.
    pub fn with_params(
        device: &Device,
        (options, ranges): (NetOptions, Ranges),
        params: Vec<f32>,
        tile: Option<usize>,
    ) -> Result<Self> {
        let multiple = options.multiple();
        let mut overlap = options.radius().map_or(OVERLAP, |r| r + multiple).next_multiple_of(multiple);
        let mut seen = None;
        let mut least = 2 * overlap + multiple;
        // What a pixel of a tile takes, from a plan of the smallest tile.
        let pixels = (least * least) as u64;
        let plan = Plan::new(forward(&options, [least, least]).0, None)?;
        let largest = plan.slots.iter().map(|s| 4 * s.len as u64).max().unwrap_or(4);
        let inner = plan.intermediate_bytes().div_ceil(pixels);
        let area = match device {
            Device::Cpu => MEMORY / (inner + CPU_COPIES),
            Device::Gpu(_) if device.is_large() => (DEVICE_MEMORY / inner).min(MEMORY / ADAPTER_COPIES),
            Device::Gpu(_) => MEMORY / (inner + ADAPTER_COPIES),
        };
        let bytes = device.limits().map_or(u64::MAX, |l| l.binding_bytes.min(l.buffer_bytes));
        let most = (u128::from(bytes) * u128::from(pixels) / u128::from(largest)).min(u64::MAX.into()) as u64;
        if largest > bytes {
            // Half of a tile is kept then, each way, and its edges are not exact.
            seen = Some(overlap);
            overlap = most.isqrt() as usize / 4 / multiple * multiple;
            if overlap < OVERLAP.min(least / 4) {
                return Err(Error::failed(format!(
                    "{}: the smallest tile of this network, {least} pixels wide, needs a buffer of {} MiB, but the device binds \
                     {} MiB: use --device cpu, or a model with fewer levels or channels",
                    device.name(),
                    largest.div_ceil(1 << 20),
                    bytes >> 20
                )));
            }
            least = 2 * overlap + multiple;
        }
        let area = area.max((least * least) as u64).min(most);
        if tile.is_some_and(|side| side < least) {
            let side = tile.unwrap_or(0);
            return Err(Error::usage(format!("--tile {side}: tiles of this network must be at least {least} pixels wide")));
        }
        let (side, area) = (tile.unwrap_or(usize::MAX), area as usize);
        Ok(Self { device: device.clone(), options, ranges, params, prepared: Vec::new(), side, area, overlap, seen })
    }

    /// By how much tiles overlap and how far a pixel sees, where that is farther because the device binds no more: pictures of more
    /// than one tile are not exact then.
    pub fn short_overlap(&self) -> Option<(usize, usize)> {
        self.seen.map(|seen| (self.overlap, seen))
    }

    /// Shape of tiles for a padded picture, made ready. Smaller ones where the device has not enough memory.
    fn fit(&mut self, picture: [usize; 2]) -> Result<[usize; 2]> {
        let multiple = self.options.multiple();
        let least = 2 * self.overlap + multiple;
        loop {
            let shape = tiles::shape(picture, self.side, self.area, self.overlap, multiple);
            match self.prepare(shape).map(|_| shape) {
                Err(Error::Memory(_)) if self.area / 2 >= least * least => self.area /= 2,
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
            let id = p.executor.plan().host("params");
            p.executor.write(id, &params)?;
        }
        self.params = params;
        Ok(())
    }

    fn prepare(&mut self, shape: [usize; 2]) -> Result<&mut Prepared> {
        if let Some(at) = self.prepared.iter().position(|p| p.shape == shape) {
            let found = self.prepared.remove(at);
            self.prepared.push(found);
        } else {
            let area = |shape: [usize; 2]| shape[0] * shape[1];
            let kept = |prepared: &[Prepared]| prepared.iter().map(|p| area(p.shape)).sum::<usize>();
            while self.prepared.len() == PREPARED || (kept(&self.prepared) > 0 && kept(&self.prepared) + area(shape) > self.area)
            {
                self.prepared.remove(0);
            }
            let (g, x, y) = forward(&self.options, shape);
            let mut executor = self.device.prepare(g)?;
            let id = executor.plan().host("params");
            executor.write(id, &self.params)?;
            self.prepared.push(Prepared { shape, executor, x, y });
        }
        Ok(self.prepared.last_mut().expect("one was just put there"))
    }

    /// Denoises a picture (H, W, 3) with values about [0, 1]; the result is not clipped.
    ///
    /// # Errors
    /// If the device fails, or gives values that are not finite.
    pub fn denoise(&mut self, rgb: &[f32], width: usize, height: usize) -> Result<Vec<f32>> {
        let out = self.run(rgb, width, height)?;
        if out.iter().all(|v| v.is_finite()) { Ok(out) } else { Err(not_finite(&self.device)) }
    }

    /// Denoises a photo, of which `strength` (0 to 1) is blended with the original. Beside the two it takes memory for tiles
    /// alone. `progress` is told the share that is done, again and again.
    ///
    /// # Errors
    /// If the device fails, or gives values that are not finite.
    pub fn denoise_photo(&mut self, photo: &Photo, strength: f32, mut progress: impl FnMut(f64)) -> Result<Photo> {
        let device = self.device.clone();
        let mut out = photo.clone();
        let (mut done, all) = (0, photo.width() * photo.height());
        self.tiles(
            [photo.height(), photo.width()],
            |i| photo.rgb(i),
            |first, values| {
                for (i, denoised) in (first..).zip(values) {
                    if !denoised.iter().all(|v| v.is_finite()) {
                        return Err(not_finite(&device));
                    }
                    let noisy = photo.rgb(i);
                    out.set_rgb(i, from_fn(|c| noisy[c] + strength * (denoised[c] - noisy[c])));
                    done += 1;
                }
                progress(done as f64 / all as f64);
                Ok(())
            },
        )?;
        Ok(out)
    }

    /// [`Denoiser::denoise`] whatever the values.
    pub(crate) fn run(&mut self, rgb: &[f32], width: usize, height: usize) -> Result<Vec<f32>> {
        assert!(rgb.len() == width * height * 3 && width > 0 && height > 0, "denoise: {} values for {width}x{height}", rgb.len());
        let mut out = vec![0.0; rgb.len()];
        self.tiles(
            [height, width],
            |i| from_fn(|c| rgb[3 * i + c]),
            |first, values| {
                out[3 * first..].chunks_exact_mut(3).zip(values).for_each(|(to, v)| to.copy_from_slice(&v));
                Ok(())
            },
        )?;
        Ok(out)
    }

    /// Denoises a picture of `size` (height, width) tile by tile. `load` gives the colour of a pixel, counted row by row;
    /// `store` takes those of a row of a tile, from its first pixel on. While the device works on a tile, the next one is
    /// loaded and the one before is stored.
    fn tiles(
        &mut self,
        [height, width]: [usize; 2],
        load: impl Fn(usize) -> [f32; 3],
        mut store: impl FnMut(usize, &mut dyn Iterator<Item = [f32; 3]>) -> Result<()>,
    ) -> Result<()> {
        let (multiple, overlap) = (self.options.multiple(), self.overlap);
        let [h, w] = [height, width].map(|size| size.next_multiple_of(multiple));
        let [th, tw] = self.fit([h, w])?;
        let axis = |size, tile| Axis { size, tile, overlap, multiple }.windows();
        let (rows, columns) = (axis(h, th), axis(w, tw));
        let Ranges { input: [low, high], output: [first, last] } = self.ranges;
        let mut store_tile = |r: &Window, c: &Window, y: &[f32]| {
            let kept = c.keep.start..c.keep.end.min(width);
            for row in r.keep.start..r.keep.end.min(height) {
                let from = &y[((row - r.start) * tw + kept.start - c.start) * 4..][..kept.len() * 4];
                let mut values = from.chunks_exact(4).map(|v| from_fn(|i| (v[i] - first) / (last - first)));
                store(row * width + kept.start, &mut values)?;
            }
            Ok(())
        };
        let Prepared { executor, x: input, y: output, .. } = self.prepare([th, tw])?;
        let mut x = vec![0.0; th * tw * 4];
        let mut under_way = Vec::new();
        let mut work = || -> Result<()> {
            let tiles = rows.iter().flat_map(|r| columns.iter().map(move |c| (r, c)));
            for tile in tiles.map(Some).chain([None]) {
                if let Some((r, c)) = tile {
                    for (i, row) in x.chunks_exact_mut(tw * 4).enumerate() {
                        let start = reflect(r.start + i, height) * width;
                        for (j, pixel) in row.chunks_exact_mut(4).enumerate() {
                            let values = load(start + reflect(c.start + j, width));
                            pixel.iter_mut().zip(values).for_each(|(to, v)| *to = low + v * (high - low));
                        }
                    }
                    executor.write(*input, &x)?;
                    executor.run()?;
                    under_way.push((executor.read_later(*output)?, r, c));
                } else {
                    executor.wait()?;
                }
                for (ticket, y) in executor.finished_reads()? {
                    let (_, r, c) = under_way.iter().find(|(t, ..)| *t == ticket).expect("a tile was asked for");
                    store_tile(r, c, &y)?;
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

fn not_finite(device: &Device) -> Error {
    Error::failed(format!("{}: the network gave values that are not finite; try --device cpu or another model", device.name()))
}
