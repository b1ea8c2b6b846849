//! The memory budget: how a picture is cut to fit what there is. Not at all, in strips from top to bottom, or in tiles.

use super::windows::{Axis, Window, fitted, strips, tile_shape};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::graph::{Graph, pad4};
use crate::nets::{Anatomy, Network};
use crate::plan::Plan;

/// Memory that may be taken beside the picture, with all that is on its way to the device and back, bytes. A photograph must do
/// with 300 MiB beside its samples; the program itself and the bytes of a file being written take the rest.
const MEMORY: u64 = 160 << 20;
/// Memory of a discrete GPU that may be taken, bytes.
const DEVICE_MEMORY: u64 = 2 << 30;
/// Copies of a pixel's input and output on this side of the device: one of each; for an adapter, where up to three runs are under
/// way, those that are uploaded and read back as well.
const CPU_COPIES: u64 = 1;
const ADAPTER_COPIES: u64 = CPU_COPIES + 3;
/// Overlap of tiles where a pixel depends on all others (GroupNorm): no overlap is exact there.
const OVERLAP: usize = 64;
/// Most rows of a strip: higher strips are hardly faster.
const ROWS: usize = 512;
/// Penalty on the work of strips side by side: no row of the picture is finished before the last of them runs, and all rows wait
/// in memory until then.
const WAITING: f64 = 1.1;
/// The budget never shrinks below this many bytes.
const LEAST_MEMORY: u64 = 1 << 20;

/// How a padded picture is cut into what the network is given at once; sizes in pixels.
///
/// ```text
///    Whole             Tiles              Strips
/// +---------+     +-----+---+---+     +-------------+
/// |         |     |     |###|   |     |      0      |   # is seen by both neighbours
/// |    0    |     |  0  |###| 1 |     +-------------+
/// |         |     +-----+---+---+     |      1      |   results of a strip are some rows above it: they
/// |         |     |#####|###|###|     +-------------+   are behind by the lag
/// +---------+     |  2  |   | 3 |     |      2      |
///                 +-----+---+---+     +-------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub kind: CutKind,
    /// Rows and columns that the network is given at once.
    pub shape: [usize; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CutKind {
    /// In one piece.
    Whole,
    /// In tiles that see all they depend on, and overlap therefore.
    Tiles,
    /// In strips from top to bottom, which find in line buffers what the strips above left; where they are narrower than the
    /// picture, they overlap at their sides as tiles do.
    Strips,
}

/// Rows and columns of a piece.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub rows: Window,
    pub columns: Window,
}

/// What a network takes: for every pixel of a tile, or for every column of strips of so many rows.
#[derive(Clone, Copy, Debug)]
struct Cost {
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

impl Cost {
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

/// Pixels that pieces beside each other share, where a pixel sees `radius` pixels around it and pieces begin at multiples of
/// `multiple`.
pub(crate) fn overlap(multiple: usize, radius: usize) -> usize {
    (radius + multiple).next_multiple_of(multiple)
}

/// The memory there is for a network on a device.
#[derive(Debug)]
pub(super) struct Budget {
    /// Bytes for everything, or for what is on this side of a discrete GPU.
    memory: u64,
    /// Bytes on a discrete GPU.
    device: Option<u64>,
    /// Most bytes of a buffer.
    buffer: u64,
    /// Bytes of a pixel on its way to the device and back.
    copies: u64,
    /// What sizes must divide by.
    multiple: usize,
    /// Largest side of tiles and strips.
    side: usize,
    /// Overlap of tiles, and of strips side by side.
    overlap: usize,
    tile: Cost,
    /// Strips of more and more rows; none where the network does not run in strips.
    strips: Vec<Cost>,
}

impl Budget {
    /// What `device` has for a network; `tile` limits the side of tiles and strips, pixels.
    /// Fails if the device cannot hold the smallest of them, or they are larger than `tile`.
    pub(super) fn new(device: &Device, network: &dyn Network, tile: Option<usize>) -> Result<Self> {
        let Anatomy { multiple, radius, .. } = Anatomy::of(network);
        let overlap = radius.map_or(OVERLAP.next_multiple_of(multiple), |radius| overlap(multiple, radius));
        let least = 2 * overlap + multiple;
        if let Some(side) = tile.filter(|&side| side < least) {
            return Err(Error::option("tile", format!("{side}: tiles of this network must be at least {least} pixels wide")));
        }
        let inputs = network.inputs();
        let copies = if matches!(device, Device::Cpu) { CPU_COPIES } else { ADAPTER_COPIES };
        let (g, x, y) = network.forward([1, multiple, least], inputs);
        let rows = (0..).map(|i| multiple << i).take_while(|&rows| rows == multiple || rows <= ROWS.min(tile.unwrap_or(ROWS)));
        let strips = rows.filter_map(|rows| g.in_strips(x, y, rows).map(|s| Cost::new(s.graph, least, rows, s.lag)));
        let strips = strips.collect::<Result<Vec<_>>>()?;
        let (mut g, _, y) = network.forward([1, least, least], inputs);
        g.output("y", y);
        let budget = Self {
            memory: MEMORY,
            device: device.is_large().then_some(DEVICE_MEMORY),
            buffer: device.limits().map_or(u64::MAX, |l| l.binding_bytes.min(l.buffer_bytes)),
            copies: copies * 4 * (pad4(inputs) + pad4(3)) as u64,
            multiple,
            side: tile.unwrap_or(usize::MAX),
            overlap,
            tile: Cost::new(g, least * least, 1, 0)?,
            strips,
        };
        budget.check_buffer(device).map(|()| budget)
    }

    /// What sizes must divide by.
    pub(super) fn multiple(&self) -> usize {
        self.multiple
    }

    /// Columns of the smallest strips, and sides of the smallest tiles.
    fn least(&self) -> usize {
        2 * self.overlap + self.multiple
    }

    /// Refuses a device whose buffers are too small for the smallest strips or tile.
    fn check_buffer(&self, device: &Device) -> Result<()> {
        let least = self.least();
        let smallest = self.strips.first().map_or(self.tile.largest * (least * least) as u64, |s| s.largest * least as u64);
        if smallest <= self.buffer {
            return Ok(());
        }
        let (needed, bound) = (smallest.div_ceil(1 << 20), self.buffer >> 20);
        Err(Error::device(
            device.name(),
            format!(
                "the smallest tile of this network, {least} pixels wide, needs a buffer of {needed} MiB, but the device binds {bound} \
                 MiB: use the CPU, or a model with fewer levels or channels"
            ),
        ))
    }

    /// Bytes of prepared cuts that may be retained beside the one in use.
    pub(super) fn retained_bytes(&self) -> u64 {
        self.device.unwrap_or(self.memory) / 4
    }

    /// Halves the memory, if more than the least is left.
    pub(super) fn shrink(&mut self) -> bool {
        self.memory /= 2;
        self.device = self.device.map(|bytes| bytes / 2);
        self.memory > LEAST_MEMORY
    }

    /// The size (height, width) that a picture is padded to.
    pub(super) fn padded(&self, picture: [usize; 2]) -> [usize; 2] {
        picture.map(|size| size.next_multiple_of(self.multiple))
    }

    /// Most columns of strips, or pixels of a tile, that fit.
    fn columns(&self, cost: &Cost) -> usize {
        let pixels = self.copies * cost.rows as u64;
        let most = match self.device {
            Some(device) => (device / cost.bytes).min(self.memory / pixels),
            None => self.memory / (cost.bytes + pixels),
        };
        most.min(self.buffer / cost.largest) as usize
    }

    /// Windows of `tile` pixels along an axis of a padded picture.
    fn axis(&self, size: usize, tile: usize) -> Vec<Window> {
        Axis { size, tile, overlap: self.overlap, multiple: self.multiple }.windows()
    }

    /// The cut of a padded picture (height, width) that takes the least work of those that fit.
    pub(super) fn cut(&self, padded: [usize; 2]) -> Cut {
        let area = self.columns(&self.tile);
        let [rows, columns] = tile_shape(padded, self.side, area, self.overlap, self.multiple);
        let fits = rows * columns <= area;
        let kind = if [rows, columns] == padded { CutKind::Whole } else { CutKind::Tiles };
        let tiles = Cut { kind, shape: [rows, columns] };
        if self.strips.is_empty() || (fits && kind == CutKind::Whole) {
            return tiles;
        }
        let strips = self.strips.iter().filter_map(|cost| self.strips_of(cost, padded));
        // Of a low picture, strips would be mostly what comes after it.
        let seen = |axis: usize, tile: usize| self.axis(axis, tile).len() * tile;
        let tiles = fits.then(|| ((seen(padded[0], rows) * seen(padded[1], columns)) as f64 * self.tile.flops, tiles));
        strips.chain(tiles).min_by(|a, b| a.0.total_cmp(&b.0)).expect("the smallest strips are always there").1
    }

    /// Strips of a padded picture with their work, if strips of so many rows fit.
    fn strips_of(&self, cost: &Cost, [height, width]: [usize; 2]) -> Option<(f64, Cut)> {
        let least = self.least().min(width);
        let most = self.columns(cost).min(self.side).min(width) / self.multiple * self.multiple;
        // The smallest of all has to do where memory is short.
        let most = if cost.rows == self.multiple { most.max(least) } else { most };
        let columns = (most >= least).then(|| fitted(width, most, self.overlap, self.multiple))?;
        let beside = self.axis(width, columns).len();
        let work = ((height + cost.lag).div_ceil(cost.rows) * beside * columns) as f64 * cost.flops;
        let work = if beside > 1 { work * WAITING } else { work };
        Some((work, Cut { kind: CutKind::Strips, shape: [cost.rows, columns] }))
    }

    /// The pieces of a picture (height, width) in the order they are denoised: strips go down the picture before the next ones
    /// begin, tiles from left to right. Results of strips are `lag` rows behind.
    pub(super) fn places(&self, cut: Cut, picture: [usize; 2], lag: usize) -> Vec<Place> {
        let [height, width] = self.padded(picture);
        let [rows, columns] = cut.shape;
        let columns = self.axis(width, columns);
        if cut.kind == CutKind::Strips {
            let rows = strips(picture[0], rows, lag);
            let down = |columns: Window| rows.iter().map(move |rows| Place { rows: rows.clone(), columns: columns.clone() });
            return columns.into_iter().flat_map(down).collect();
        }
        let across = |rows: Window| columns.iter().map(move |columns| Place { rows: rows.clone(), columns: columns.clone() });
        self.axis(height, rows).into_iter().flat_map(across).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nets::{EpflConvnet, N2nUnet, Norm, Unet};

    /// Bytes of everything that is in memory at once for a cut.
    fn bytes(network: &dyn Network, cut: Cut) -> u64 {
        let [rows, columns] = cut.shape;
        let strips = cut.kind == CutKind::Strips;
        let (mut g, x, y) = network.forward([1, if strips { Anatomy::of(network).multiple } else { rows }, columns], 3);
        if strips {
            g = g.in_strips(x, y, rows).unwrap().graph;
        } else {
            g.output("y", y);
        }
        Plan::new(g, None).unwrap().bytes() + CPU_COPIES * 32 * (rows * columns) as u64
    }

    #[test]
    fn cuts_of_photographs_fit_the_memory_and_do_little_twice() {
        let nets: [&dyn Network; 4] =
            [&Unet::new(16, 3, Norm::None), &Unet::new(48, 5, Norm::Batch), &N2nUnet::default(), &EpflConvnet::default()];
        for network in nets {
            let budget = Budget::new(&Device::Cpu, network, None).unwrap();
            let name = network.name();
            for picture in [[4000, 6016], [4320, 8192], [6016, 4000], [20_000, 512]] {
                let cut = budget.cut(picture);
                let Cut { kind: CutKind::Strips, shape: [_, columns] } = cut else { panic!("{name}: {cut:?} of {picture:?}") };
                assert!(bytes(network, cut) < MEMORY + (8 << 20), "{name}: {cut:?} of {picture:?}");
                let twice = (budget.axis(picture[1], columns).len() * columns) as f64 / picture[1] as f64;
                assert!(twice < 1.35, "{name}: {cut:?} of {picture:?} sees {twice} times its pixels");
            }
            // A low one is cut into tiles of its height, if at all, where that is less work, as it is where a pixel sees far.
            let low = budget.cut([budget.multiple, 70_016]);
            assert!(low.kind != CutKind::Strips && low.shape[0] == budget.multiple, "{name}: {low:?}");
            // What is small is not cut, and what a normalisation looks at as a whole is cut into tiles.
            assert_eq!(budget.cut([256, 256]), Cut { kind: CutKind::Whole, shape: [256, 256] });
        }
        let normed = Unet::new(16, 3, Norm::Group);
        let cut = Budget::new(&Device::Cpu, &normed, None).unwrap().cut([4000, 6000]);
        assert!(cut.kind == CutKind::Tiles && bytes(&normed, cut) <= MEMORY + (8 << 20), "{cut:?}");
    }

    #[test]
    fn cuts_shrink_to_the_smallest_strips_and_no_further() {
        let network = Unet::new(16, 3, Norm::None);
        let mut budget = Budget::new(&Device::Cpu, &network, None).unwrap();
        while budget.shrink() {
            assert_eq!(budget.cut([4000, 6000]).kind, CutKind::Strips);
        }
        assert_eq!(budget.cut([4000, 6000]), Cut { kind: CutKind::Strips, shape: [8, budget.least()] });
    }

    #[test]
    fn kept_parts_of_pieces_make_up_the_picture() {
        let budget = Budget::new(&Device::Cpu, &Unet::new(16, 3, Norm::None), None).unwrap();
        let (rows, columns) = (budget.least(), budget.least());
        let picture = [2 * rows + 3, 3 * columns + 5];
        for cut in [(CutKind::Tiles, rows), (CutKind::Strips, 16)].map(|(kind, rows)| Cut { kind, shape: [rows, columns] }) {
            let mut kept = vec![0; picture[0] * picture[1]];
            for Place { rows, columns } in budget.places(cut, picture, 20) {
                for row in rows.keep.start..rows.keep.end.min(picture[0]) {
                    let end = columns.keep.end.min(picture[1]);
                    kept[row * picture[1]..][columns.keep.start..end].iter_mut().for_each(|count| *count += 1);
                }
            }
            assert!(kept.iter().all(|&count| count == 1), "{cut:?}");
        }
    }
}
