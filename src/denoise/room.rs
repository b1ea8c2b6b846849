//! How a picture is cut to fit the memory there is: not at all, in strips from top to bottom, or in tiles.

use super::tiles::{self, Axis};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::graph::{Graph, Tensor};
use crate::nets::{Modules, Network};
use crate::plan::Plan;

/// Memory that may be taken beside the picture, with all that is on its way to the device and back, bytes. A photograph must do
/// with 300 MiB beside its samples; the program itself and the bytes of a file being written take the rest.
const MEMORY: u64 = 160 << 20;
/// Memory of a discrete GPU that may be taken, bytes.
const DEVICE_MEMORY: u64 = 2 << 30;
/// Bytes of a pixel's input and output, four channels each, on this side of the device.
const CPU_COPIES: u64 = 2 * 16;
/// The same for an adapter, where up to three runs are under way, each with an upload and a readback.
const ADAPTER_COPIES: u64 = CPU_COPIES + 3 * 2 * 16;
/// Overlap of tiles where a pixel depends on all others (GroupNorm), so that no overlap is exact.
const OVERLAP: usize = 64;
/// Most rows of a strip: more bring next to nothing.
const ROWS: usize = 512;
/// How much more work it may be to have no strips side by side.
const WAITING: f64 = 1.1;

/// Records the network for a picture of `shape` (height, width): the graph, its input and its output.
pub(super) fn forward(network: &dyn Network, shape: [usize; 2]) -> (Graph, Tensor, Tensor) {
    let mut g = Graph::new();
    let x = g.host_picture("x", [1, shape[0], shape[1]], 3);
    let y = network.record(&mut Modules::new(&mut g, false), x);
    (g, x, y)
}

/// How a picture is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Rows and columns that the network is given at once.
    pub shape: [usize; 2],
    /// Whether they are strips, in line buffers, rather than tiles that see all they depend on.
    pub strips: bool,
}

/// What a network takes: for every pixel of a tile, or for every column of strips of so many rows.
#[derive(Clone, Copy, Debug)]
struct Need {
    /// 1 for a tile, whose columns are pixels.
    rows: usize,
    /// Bytes of all buffers but the parameters'.
    bytes: u64,
    /// Bytes of the largest.
    largest: u64,
    /// Floating-point operations.
    flops: f64,
    /// Rows by which results are behind.
    lag: usize,
}

impl Need {
    fn new(g: Graph, columns: usize, rows: usize, lag: usize) -> Result<Self> {
        let flops = g.flops() / columns as f64;
        let params = g.params_storage();
        let plan = Plan::new(g, None)?;
        let params = params.map(|id| plan.slot_of[id.0]);
        let buffers = plan.slots.iter().enumerate().filter(|(i, _)| params != Some(*i)).map(|(_, s)| 4 * s.len as u64);
        let (bytes, largest) = buffers.fold((0, 0), |(sum, largest), bytes| (sum + bytes, bytes.max(largest)));
        let each = |bytes: u64| bytes.div_ceil(columns as u64);
        Ok(Self { rows, bytes: each(bytes), largest: each(largest), flops, lag })
    }
}

/// The memory there is for a network on a device.
#[derive(Debug)]
pub(super) struct Room {
    /// Bytes for everything, or for what is on this side of a discrete GPU.
    memory: u64,
    /// Bytes on a discrete GPU.
    device: Option<u64>,
    /// Most bytes of a buffer.
    buffer: u64,
    /// Bytes of a pixel on its way.
    copies: u64,
    /// What sizes must divide by.
    multiple: usize,
    /// Largest side of tiles and strips.
    side: usize,
    /// Overlap of tiles, and of strips side by side.
    overlap: usize,
    tile: Need,
    /// Strips of more and more rows; none where the network does not run in strips.
    strips: Vec<Need>,
}

impl Room {
    /// What `device` has for a network; `tile` limits the side of tiles and strips, pixels.
    ///
    /// # Errors
    /// If the device cannot hold the smallest of them, or they are larger than `tile`.
    pub(super) fn new(
        device: &Device,
        network: &dyn Network,
        (multiple, radius): (usize, Option<usize>),
        tile: Option<usize>,
    ) -> Result<Self> {
        let overlap = radius.map_or(OVERLAP, |r| r + multiple).next_multiple_of(multiple);
        let least = 2 * overlap + multiple;
        if let Some(side) = tile.filter(|&side| side < least) {
            return Err(Error::option("tile", format!("{side}: tiles of this network must be at least {least} pixels wide")));
        }
        let (g, x, y) = forward(network, [multiple, least]);
        let rows = (0..).map(|i| multiple << i).take_while(|&rows| rows == multiple || rows <= ROWS.min(tile.unwrap_or(ROWS)));
        let strips = rows.filter_map(|rows| g.in_strips(x, y, rows).map(|s| Need::new(s.graph, least, rows, s.lag)));
        let strips = strips.collect::<Result<Vec<_>>>()?;
        let (mut g, _, y) = forward(network, [least, least]);
        g.output("y", y);
        let room = Self {
            memory: MEMORY,
            device: device.is_large().then_some(DEVICE_MEMORY),
            buffer: device.limits().map_or(u64::MAX, |l| l.binding_bytes.min(l.buffer_bytes)),
            copies: if matches!(device, Device::Cpu) { CPU_COPIES } else { ADAPTER_COPIES },
            multiple,
            side: tile.unwrap_or(usize::MAX),
            overlap,
            tile: Need::new(g, least * least, 1, 0)?,
            strips,
        };
        let smallest = room.strips.first().map_or(room.tile.largest * (least * least) as u64, |s| s.largest * least as u64);
        if smallest > room.buffer {
            let (needed, bound) = (smallest.div_ceil(1 << 20), room.buffer >> 20);
            return Err(Error::device(
                device.name(),
                format!(
                    "the smallest tile of this network, {least} pixels wide, needs a buffer of {needed} MiB, but the device binds {bound} \
                     MiB: use the CPU, or a model with fewer levels or channels"
                ),
            ));
        }
        Ok(room)
    }

    /// By how many pixels tiles overlap.
    pub(super) fn overlap(&self) -> usize {
        self.overlap
    }

    /// Bytes of prepared layouts that may be kept beside the one in use.
    pub(super) fn kept_bytes(&self) -> u64 {
        self.device.unwrap_or(self.memory) / 4
    }

    /// Halves the memory, if more than that of the smallest layout is left.
    pub(super) fn shrink(&mut self) -> bool {
        self.memory /= 2;
        self.device = self.device.map(|bytes| bytes / 2);
        self.memory > 1 << 20
    }

    /// Most columns of strips, or pixels of a tile, that fit.
    fn columns(&self, need: &Need) -> usize {
        let pixels = self.copies * need.rows as u64;
        let most = match self.device {
            Some(device) => (device / need.bytes).min(self.memory / pixels),
            None => self.memory / (need.bytes + pixels),
        };
        most.min(self.buffer / need.largest) as usize
    }

    /// How a padded picture (height, width) is cut where it does not fit whole: into what takes the least work.
    pub(super) fn layout(&self, picture: [usize; 2]) -> Layout {
        let Self { multiple, overlap, side, .. } = *self;
        let [h, w] = picture;
        let count = |size, tile| Axis { size, tile, overlap, multiple }.windows().len();
        let area = self.columns(&self.tile);
        let shape = tiles::shape(picture, side, area, overlap, multiple);
        let tiles = Layout { shape, strips: false };
        if self.strips.is_empty() || (shape == picture && h * w <= area) {
            return tiles;
        }
        let least = (2 * overlap + multiple).min(w);
        let work = self.strips.iter().filter_map(|need| {
            let most = self.columns(need).min(side).min(w) / multiple * multiple;
            // The smallest of all has to do where memory is short.
            let most = if need.rows == multiple { most.max(least) } else { most };
            let columns = (most >= least).then(|| tiles::fitted(w, most, overlap, multiple))?;
            let beside = count(w, columns);
            let work = ((h + need.lag).div_ceil(need.rows) * beside * columns) as f64 * need.flops;
            // Of strips side by side no row is done before the last of them, and all have to wait.
            let work = if beside > 1 { work * WAITING } else { work };
            Some((work, Layout { shape: [need.rows, columns], strips: true }))
        });
        // Of a low picture, strips would be mostly what comes after it.
        let [th, tw] = shape;
        let fits = (th * tw <= area).then(|| ((count(h, th) * count(w, tw) * th * tw) as f64 * self.tile.flops, tiles));
        work.chain(fits).min_by(|a, b| a.0.total_cmp(&b.0)).expect("the smallest strips are always there").1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nets::{Anatomy, EpflConvnet, N2nUnet, Norm, Unet};

    fn room(network: &dyn Network) -> Room {
        let Anatomy { multiple, radius, .. } = Anatomy::of(network);
        Room::new(&Device::Cpu, network, (multiple, radius), None).unwrap()
    }

    /// Bytes of everything that is in memory at once for a layout.
    fn bytes(network: &dyn Network, layout: Layout) -> u64 {
        let [rows, columns] = layout.shape;
        let (mut g, x, y) = forward(network, [if layout.strips { Anatomy::of(network).multiple } else { rows }, columns]);
        if layout.strips {
            g = g.in_strips(x, y, rows).unwrap().graph;
        } else {
            g.output("y", y);
        }
        Plan::new(g, None).unwrap().bytes() + CPU_COPIES * (rows * columns) as u64
    }

    #[test]
    fn layouts_of_photographs_fit_the_memory_and_do_little_twice() {
        let nets: [&dyn Network; 4] =
            [&Unet::new(16, 3, Norm::None), &Unet::new(48, 5, Norm::Batch), &N2nUnet::default(), &EpflConvnet::default()];
        for network in nets {
            let room = room(network);
            for picture in [[4000, 6016], [4320, 8192], [6016, 4000], [20_000, 512]] {
                let layout = room.layout(picture);
                let name = network.name();
                assert!(layout.strips && bytes(network, layout) < MEMORY + (8 << 20), "{name}: {layout:?} of {picture:?}");
                let windows =
                    Axis { size: picture[1], tile: layout.shape[1], overlap: room.overlap(), multiple: room.multiple }.windows();
                let twice = (windows.len() * layout.shape[1]) as f64 / picture[1] as f64;
                assert!(twice < 1.35, "{name}: {layout:?} of {picture:?} sees {twice} times its pixels");
            }
            // A low one is cut into tiles of its height where that is less work, as it is where a pixel sees far.
            let low = room.layout([Anatomy::of(network).multiple, 70_016]);
            assert!(!low.strips && low.shape[0] == Anatomy::of(network).multiple, "{}: {low:?}", network.name());
            // What is small is not cut, and what a normalisation looks at as a whole is cut into tiles.
            assert_eq!(room.layout([256, 256]), Layout { shape: [256, 256], strips: false });
        }
        let normed = Unet::new(16, 3, Norm::Group);
        let layout = room(&normed).layout([4000, 6000]);
        assert!(!layout.strips && bytes(&normed, layout) <= MEMORY + (8 << 20), "{layout:?}");
    }

    #[test]
    fn layouts_shrink_to_the_smallest_strips_and_no_further() {
        let mut room = room(&Unet::new(16, 3, Norm::None));
        while room.shrink() {
            assert!(room.layout([4000, 6000]).strips);
        }
        assert_eq!(room.layout([4000, 6000]).shape, [8, 2 * room.overlap() + 8]);
    }
}
