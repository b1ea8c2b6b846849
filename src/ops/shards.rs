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
    pub fn raw(&self) -> &[u8] {
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

impl Shards {
    /// Lays out groups of pictures ((width, height), values) in three shards of at most `limit` bytes. A group that finds no place is
    /// left out whole.
    pub fn new<'a>(groups: impl IntoIterator<Item = Vec<((usize, usize), &'a Pixels)>>, limit: u64) -> Self {
        let groups: Vec<_> = groups.into_iter().collect();
        let floats = groups.iter().flatten().any(|(_, pixels)| pixels.are_floats());
        let size = if floats { size_of::<f32>() } else { 1 };
        let mut shards = Self { floats, ..Self::default() };
        for (number, group) in groups.into_iter().enumerate() {
            let bytes: usize = group.iter().map(|(_, pixels)| size * pixels.count()).sum();
            // The last word may have to be filled up.
            let Some(shard) = (0..3).find(|&s| (shards.data[s].len() + bytes + 16) as u64 <= limit) else {
                shards.left_out.push(number);
                continue;
            };
            for ((width, height), pixels) in group {
                let data = &mut shards.data[shard];
                shards.table.extend([shard, data.len() / size, width, height].map(|v| v as u32));
                if floats && !pixels.are_floats() {
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

    /// Pictures that were laid out.
    pub fn count(&self) -> usize {
        self.table.len() / 4
    }

    /// Shard `i` as words, at least one.
    pub fn words(&self, i: usize) -> Vec<u32> {
        let mut bytes = self.data[i].clone();
        bytes.resize(bytes.len().next_multiple_of(4).max(16), 0);
        bytes.as_chunks::<4>().0.iter().map(|&b| u32::from_le_bytes(b)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_of_bytes_among_those_of_floats_become_floats() {
        let (bytes, floats) = (Pixels::Bytes(vec![0, 51, 255]), Pixels::Floats(vec![-0.25, 0.5, 1.5]));
        let groups = |pixels: &[&'static Pixels]| pixels.iter().map(|p| vec![((1, 1), *p)]).collect::<Vec<_>>();
        let (bytes, floats): (&Pixels, &Pixels) = (Box::leak(Box::new(bytes)), Box::leak(Box::new(floats)));
        let shards = Shards::new(groups(&[bytes, floats]), 1 << 10);
        assert_eq!(shards.table, [0, 0, 1, 1, 0, 3, 1, 1]);
        let values: Vec<f32> = shards.words(0).into_iter().map(f32::from_bits).collect();
        assert_eq!(values[..6], [0.0, 0.2, 1.0, -0.25, 0.5, 1.5]);
        assert!(!Shards::new(groups(&[bytes]), 1 << 10).floats);
        // Three shards with place for one picture of floats each.
        assert_eq!(Shards::new(groups(&[floats; 4]), 28).left_out, [3]);
    }
}
