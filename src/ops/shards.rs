//! Training pictures as a device holds them: their values one after the other in three storages, and a table of where each lies.

use std::borrow::Cow;
use std::ops::Range;

use crate::noise::GLYPHS;

/// Values of a picture, `(H, W, C)`, as precise as its file has them.
#[derive(Clone, Debug, PartialEq)]
pub enum Pixels {
    /// 0 to 255.
    Bytes(Vec<u8>),
    /// 0 to 65,535.
    Words(Vec<u16>),
    /// About [0, 1], or on a scale of their own.
    Floats(Vec<f32>),
}

impl Pixels {
    /// Values of all channels.
    pub fn count(&self) -> usize {
        match self {
            Self::Bytes(v) => v.len(),
            Self::Words(v) => v.len(),
            Self::Floats(v) => v.len(),
        }
    }

    /// Value `i`: of whole numbers, the share of the largest.
    pub fn value(&self, i: usize) -> f32 {
        match self {
            Self::Bytes(v) => f32::from(v[i]) / 255.0,
            Self::Words(v) => f32::from(v[i]) / 65_535.0,
            Self::Floats(v) => v[i],
        }
    }

    /// All values, as [`Pixels::value`] has them.
    pub fn values(&self) -> Vec<f32> {
        (0..self.count()).map(|i| self.value(i)).collect()
    }

    /// So many values, from places that are given.
    pub(crate) fn gathered(&self, place: impl Fn(usize) -> usize, count: usize) -> Self {
        let places = (0..count).map(place);
        match self {
            Self::Bytes(v) => Self::Bytes(places.map(|at| v[at]).collect()),
            Self::Words(v) => Self::Words(places.map(|at| v[at]).collect()),
            Self::Floats(v) => Self::Floats(places.map(|at| v[at]).collect()),
        }
    }

    /// Those of some ranges, one after the other.
    pub(crate) fn rows(&self, ranges: impl Iterator<Item = Range<usize>>) -> Self {
        match self {
            Self::Bytes(v) => Self::Bytes(ranges.flat_map(|range| &v[range]).copied().collect()),
            Self::Words(v) => Self::Words(ranges.flat_map(|range| &v[range]).copied().collect()),
            Self::Floats(v) => Self::Floats(ranges.flat_map(|range| &v[range]).copied().collect()),
        }
    }

    /// As words of a shard, with so many bytes a value.
    pub(crate) fn words(&self, bytes: usize) -> Vec<u32> {
        words(self.widened(bytes).into_owned())
    }

    /// What memory holds of them.
    pub(crate) fn raw(&self) -> &[u8] {
        match self {
            Self::Bytes(v) => v,
            Self::Words(v) => bytemuck::cast_slice(v),
            Self::Floats(v) => bytemuck::cast_slice(v),
        }
    }

    /// Bytes of a value in memory.
    pub fn value_bytes(&self) -> usize {
        match self {
            Self::Bytes(_) => 1,
            Self::Words(_) => 2,
            Self::Floats(_) => 4,
        }
    }

    /// The same values with so many bytes each, at least as many as they have; exactly the same.
    fn widened(&self, bytes: usize) -> Cow<'_, [u8]> {
        match self {
            _ if self.value_bytes() == bytes => Cow::Borrowed(self.raw()),
            // 65,535 is 257 times 255.
            Self::Bytes(v) if bytes == 2 => Cow::Owned(v.iter().flat_map(|&b| (257 * u16::from(b)).to_ne_bytes()).collect()),
            _ => Cow::Owned(self.values().iter().flat_map(|v| v.to_ne_bytes()).collect()),
        }
    }
}

/// Pictures laid into shards that a device can bind, all as precise as the most precise one of them.
#[derive(Clone, Debug, Default)]
pub struct Shards {
    /// Rows of four: shard, first value, width, height.
    pub table: Vec<u32>,
    /// Shots of one scene follow each other in the table: the first, and how many; none of single pictures.
    pub scenes: Vec<[u32; 2]>,
    /// Bytes of a value: 1 or 2 of a whole number, 4 of a float.
    pub value_bytes: usize,
    /// Memory of the values.
    pub data: [Vec<u8>; 3],
    /// Numbers of the groups that found no place.
    pub left_out: Vec<usize>,
}

/// Pictures that belong together: width, height and values.
pub type Group<'a> = Vec<((usize, usize), &'a Pixels)>;

/// Bytes of a value of the most precise picture.
fn value_bytes(groups: &[Group]) -> usize {
    groups.iter().flatten().map(|(_, pixels)| pixels.value_bytes()).max().unwrap_or(1)
}

impl Shards {
    /// Which of three shards of at most `limit` bytes each picture of a group lies in; `None` if one of the group finds no place.
    pub fn places(groups: &[Group], limit: u64) -> Vec<Option<Vec<usize>>> {
        let (size, mut filled) = (value_bytes(groups), [0; 3]);
        let place = |group: &Group| {
            let mut after = filled;
            let shards = group.iter().map(|(_, pixels)| {
                let bytes = size * pixels.count();
                // The last word may have to be filled up.
                let shard = (0..3).find(|&s| (after[s] + bytes + 16) as u64 <= limit)?;
                after[shard] += bytes;
                Some(shard)
            });
            let shards: Vec<usize> = shards.collect::<Option<_>>()?;
            filled = after;
            Some(shards)
        };
        groups.iter().map(place).collect()
    }

    /// Lays out groups of pictures in three shards of at most `limit` bytes. A group that finds no place is left out.
    pub fn new<'a>(groups: impl IntoIterator<Item = Group<'a>>, limit: u64) -> Self {
        let groups: Vec<_> = groups.into_iter().collect();
        let size = value_bytes(&groups);
        let mut shards = Self { value_bytes: size, ..Self::default() };
        for (number, (places, group)) in Self::places(&groups, limit).into_iter().zip(groups).enumerate() {
            let Some(places) = places else {
                shards.left_out.push(number);
                continue;
            };
            if group.len() > 1 {
                shards.scenes.push([shards.table.len() / 4, group.len()].map(|v| v as u32));
            }
            for (shard, ((width, height), pixels)) in places.into_iter().zip(group) {
                let data = &mut shards.data[shard];
                shards.table.extend([shard, data.len() / size, width, height].map(|v| v as u32));
                data.extend_from_slice(&pixels.widened(size));
            }
        }
        shards
    }

    /// The same pictures, where every one of a group makes a scene with the next.
    #[must_use]
    pub fn of_neighbours(mut self) -> Self {
        self.scenes = self.scenes.iter().flat_map(|&[first, count]| (first..first + count - 1).map(|at| [at, 2])).collect();
        self
    }

    /// The same pictures, each a scene of a single shot.
    #[must_use]
    pub fn of_singles(mut self) -> Self {
        self.scenes = (0..self.table.len() as u32 / 4).map(|at| [at, 1]).collect();
        self
    }

    /// The table: rows of four for pictures, then for scenes, then for the letters that text is written in.
    pub fn rows(&self) -> Vec<u32> {
        let others = self.scenes.iter().chain(&GLYPHS).flat_map(|&[a, b]| [a, b, 0, 0]);
        self.table.iter().copied().chain(others).collect()
    }

    /// Shard `i` as words, at least one.
    pub fn words(&self, i: usize) -> Vec<u32> {
        words(self.data[i].clone())
    }
}

/// Bytes as words, four at least.
fn words(mut bytes: Vec<u8>) -> Vec<u32> {
    bytes.resize(bytes.len().next_multiple_of(4).max(16), 0);
    bytes.as_chunks::<4>().0.iter().map(|&b| u32::from_le_bytes(b)).collect()
}
