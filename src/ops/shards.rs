//! Training pictures as a device holds them: their values one after the other in three storages, and a table of where each lies.

use crate::noise::GLYPHS;

/// Values of a picture, `(H, W, 3)`.
#[derive(Clone, Debug, PartialEq)]
pub enum Pixels {
    /// 0 to 255.
    Bytes(Vec<u8>),
    /// About [0, 1].
    Floats(Vec<f32>),
}

impl Pixels {
    /// Values, three to a pixel.
    pub fn count(&self) -> usize {
        match self {
            Self::Bytes(v) => v.len(),
            Self::Floats(v) => v.len(),
        }
    }

    /// All values, in [0, 1].
    pub fn values(&self) -> Vec<f32> {
        match self {
            Self::Bytes(v) => v.iter().map(|&b| f32::from(b) / 255.0).collect(),
            Self::Floats(v) => v.clone(),
        }
    }

    /// What memory holds of them.
    pub(crate) fn raw(&self) -> &[u8] {
        match self {
            Self::Bytes(v) => v,
            Self::Floats(v) => bytemuck::cast_slice(v),
        }
    }

    fn are_floats(&self) -> bool {
        matches!(self, Self::Floats(_))
    }
}

/// Pictures laid into shards that a device can bind: bytes, or floats if one of them is of floats.
#[derive(Clone, Debug, Default)]
pub struct Shards {
    /// Rows of four: shard, first value, width, height.
    pub table: Vec<u32>,
    /// Whether values are floats, not bytes.
    pub floats: bool,
    /// Memory of the values.
    pub data: [Vec<u8>; 3],
    /// Numbers of the groups that found no place.
    pub left_out: Vec<usize>,
}

/// Pictures that belong together: width, height and values.
pub type Group<'a> = Vec<((usize, usize), &'a Pixels)>;

/// Bytes of a value of pictures: they are floats if one of them is of floats.
fn value_bytes(groups: &[Group]) -> usize {
    if groups.iter().flatten().any(|(_, pixels)| pixels.are_floats()) { size_of::<f32>() } else { 1 }
}

impl Shards {
    /// Which of three shards of at most `limit` bytes each group lies in, whole; `None` if it finds no place.
    pub fn places(groups: &[Group], limit: u64) -> Vec<Option<usize>> {
        let (size, mut filled) = (value_bytes(groups), [0; 3]);
        let place = |group: &Group| {
            let bytes: usize = group.iter().map(|(_, pixels)| size * pixels.count()).sum();
            // The last word may have to be filled up.
            let shard = (0..3).find(|&s| (filled[s] + bytes + 16) as u64 <= limit)?;
            filled[shard] += bytes;
            Some(shard)
        };
        groups.iter().map(place).collect()
    }

    /// Lays out groups of pictures in three shards of at most `limit` bytes. A group that finds no place is left out.
    pub fn new<'a>(groups: impl IntoIterator<Item = Group<'a>>, limit: u64) -> Self {
        let groups: Vec<_> = groups.into_iter().collect();
        let size = value_bytes(&groups);
        let mut shards = Self { floats: size > 1, ..Self::default() };
        for (number, (place, group)) in Self::places(&groups, limit).into_iter().zip(groups).enumerate() {
            let Some(shard) = place else {
                shards.left_out.push(number);
                continue;
            };
            for ((width, height), pixels) in group {
                let data = &mut shards.data[shard];
                shards.table.extend([shard, data.len() / size, width, height].map(|v| v as u32));
                if shards.floats && !pixels.are_floats() {
                    data.extend_from_slice(bytemuck::cast_slice(&pixels.values()));
                } else {
                    data.extend_from_slice(pixels.raw());
                }
            }
        }
        shards
    }

    /// The table with the letters that text is written in after the pictures' rows.
    pub fn rows(&self) -> Vec<u32> {
        let letters = GLYPHS.iter().flat_map(|&[low, high]| [low, high, 0, 0]);
        self.table.iter().copied().chain(letters).collect()
    }

    /// Shard `i` as words, at least one.
    pub fn words(&self, i: usize) -> Vec<u32> {
        let mut bytes = self.data[i].clone();
        bytes.resize(bytes.len().next_multiple_of(4).max(16), 0);
        bytes.as_chunks::<4>().0.iter().map(|&b| u32::from_le_bytes(b)).collect()
    }
}
