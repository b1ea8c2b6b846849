//! Denoising of pictures of any size: padded to what the network divides by, and cut into tiles that overlap by what a
//! pixel sees, so that tiles give the same picture as one pass.

mod evaluate;
mod tiles;

pub use evaluate::{Evaluation, Scored, evaluate};

use crate::device::Device;
use crate::error::{Error, Result};
use crate::graph::{Graph, StorageId};
use crate::nets::{Model, NetOptions, Ranges};
use crate::plan::{Executor, Plan};

use tiles::{Axis, reflect};

/// Memory that a tile's intermediates may take, bytes.
const MEMORY: u64 = 512 << 20;
/// Overlap where a pixel depends on all others (GroupNorm), so that no overlap is exact.
const OVERLAP: usize = 64;
/// Prepared tile shapes that are kept.
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
    /// If the device cannot hold a tile that is larger than its overlap.
    pub fn new(device: &Device, model: &Model, tile: Option<usize>) -> Result<Self> {
        let Model { metadata, params } = model;
        Self::with_params(device, (metadata.options, metadata.ranges()), params.clone(), tile)
    }

    /// Readies a network with these parameters.
    ///
    /// # Errors
    /// If the device cannot hold a tile that is larger than its overlap.
    pub fn with_params(
        device: &Device,
        (options, ranges): (NetOptions, Ranges),
        params: Vec<f32>,
        tile: Option<usize>,
    ) -> Result<Self> {
        let multiple = options.multiple();
        let overlap = options.radius().map_or(OVERLAP, |r| r + multiple).next_multiple_of(multiple);
        let least = 2 * overlap + multiple;
        // What a pixel of a tile takes, from a plan of the smallest tile.
        let pixels = (least * least) as u64;
        let plan = Plan::new(forward(&options, [least, least]).0, None)?;
        let largest = plan.slots.iter().map(|s| 4 * s.len as u64).max().unwrap_or(4);
        let memory = if device.is_large() { 4 * MEMORY } else { MEMORY };
        let mut area = (memory * pixels / plan.intermediate_bytes()).max(pixels);
        if let Some(limits) = device.limits() {
            let bytes = limits.binding_bytes.min(limits.buffer_bytes);
            if largest > bytes {
                return Err(Error::failed(format!(
                    "{}: the smallest tile of this network, {least} pixels wide, needs a buffer of {} MiB, but the device binds \
                     {} MiB: use --device cpu, or a model with fewer levels or channels",
                    device.name(),
                    largest.div_ceil(1 << 20),
                    bytes >> 20
                )));
            }
            area = area.min(bytes * pixels / largest);
        }
        if tile.is_some_and(|side| side < least) {
            let side = tile.unwrap_or(0);
            return Err(Error::usage(format!("--tile {side}: tiles of this network must be at least {least} pixels wide")));
        }
        let (side, area) = (tile.unwrap_or(usize::MAX), area as usize);
        Ok(Self { device: device.clone(), options, ranges, params, prepared: Vec::new(), side, area, overlap })
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
            if self.prepared.len() == PREPARED {
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
        if out.iter().all(|v| v.is_finite()) {
            return Ok(out);
        }
        let device = self.device.name();
        Err(Error::failed(format!("{device}: the network gave values that are not finite; try --device cpu or another model")))
    }

    /// [`Denoiser::denoise`] whatever the values.
    pub(crate) fn run(&mut self, rgb: &[f32], width: usize, height: usize) -> Result<Vec<f32>> {
        assert!(rgb.len() == width * height * 3 && width > 0 && height > 0, "denoise: {} values for {width}x{height}", rgb.len());
        let multiple = self.options.multiple();
        let (h, w) = (height.next_multiple_of(multiple), width.next_multiple_of(multiple));
        let [th, tw] = tiles::shape([h, w], self.side, self.area, 2 * self.overlap + multiple, multiple);
        let overlap = self.overlap;
        let rows = Axis { size: h, tile: th, overlap, multiple }.windows();
        let columns = Axis { size: w, tile: tw, overlap, multiple }.windows();
        let Ranges { input: [low, high], output: [first, last] } = self.ranges;
        let prepared = self.prepare([th, tw])?;
        let mut out = vec![0.0; rgb.len()];
        let mut x = vec![0.0; th * tw * 4];
        for r in &rows {
            for c in &columns {
                for (i, pixel) in x.chunks_exact_mut(4).enumerate() {
                    let (row, column) = (reflect(r.start + i / tw, height), reflect(c.start + i % tw, width));
                    let from = &rgb[(row * width + column) * 3..][..3];
                    for (to, v) in pixel.iter_mut().zip(from) {
                        *to = low + v * (high - low);
                    }
                }
                prepared.executor.write(prepared.x, &x)?;
                prepared.executor.run()?;
                let y = prepared.executor.read(prepared.y)?;
                for row in r.keep.start..r.keep.end.min(height) {
                    for column in c.keep.start..c.keep.end.min(width) {
                        let from = &y[((row - r.start) * tw + column - c.start) * 4..][..3];
                        let to = &mut out[(row * width + column) * 3..][..3];
                        for (to, v) in to.iter_mut().zip(from) {
                            *to = (v - first) / (last - first);
                        }
                    }
                }
            }
        }
        Ok(out)
    }
}
