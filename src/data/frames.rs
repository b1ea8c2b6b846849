//! Pictures that lie in an array, one after the other.

use std::path::Path;

use rayon::prelude::*;

use super::array::{Array, DType};
use super::npy::load_npy;
use super::picture::Picture;
use crate::error::{Error, Result};
use crate::ops::Pixels;

/// How pictures lie in an array.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Frames {
    pub(super) count: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    /// 1 or 3.
    pub(super) channels: usize,
    channels_first: bool,
}

impl Frames {
    /// Of an array (N, C, H, W) or (N, H, W, C) of 1 or 3 channels, or (N, H, W). Where a shape can be read both ways, channels come first.
    pub(super) fn of(shape: &[usize]) -> Result<Self, String> {
        let frames = match *shape {
            [count, channels @ (1 | 3), height, width] if channels == 3 || width != 3 => {
                Self { count, height, width, channels, channels_first: true }
            }
            [count, height, width, channels @ (1 | 3)] => Self { count, height, width, channels, channels_first: false },
            [count, height, width] => Self { count, height, width, channels: 1, channels_first: true },
            _ => return Err(format!("holds an array of shape {shape:?}: pictures are (N, 3, H, W) or (N, H, W, 3)")),
        };
        if shape.contains(&0) {
            return Err(format!("holds no pictures (shape {shape:?}): give at least one pair"));
        }
        Ok(frames)
    }

    /// The same of an array of any more axes before these, of which every entry is a picture.
    fn of_any(shape: &[usize]) -> Result<Self, String> {
        let axes = match shape {
            [.., 3, _, _] | [.., _, _, 1 | 3] if shape.len() > 3 => 3,
            _ => 2,
        };
        let Some(first) = shape.len().checked_sub(axes).filter(|first| *first > 0) else {
            return Err(format!("holds an array of shape {shape:?}: a stack is (N, H, W), or has more axes before these"));
        };
        let count = shape[..first].iter().product();
        Self::of(&[&[count], &shape[first..]].concat())
    }

    /// The values as (N, H, W, C), as precise as they are: of other whole numbers than those of 8 and 16 bit without sign, and of floats,
    /// as they are.
    pub(super) fn pixels(&self, array: &Array) -> Pixels {
        match array.dtype() {
            DType::U8 => Pixels::Bytes(self.arranged(array.data())),
            DType::U16 => Pixels::Words(self.arranged(&bytemuck::pod_collect_to_vec::<u8, u16>(array.data()))),
            _ => Pixels::Floats(self.arranged(&array.to_f32())),
        }
    }

    fn arranged<T: Copy + Default + Send + Sync>(&self, data: &[T]) -> Vec<T> {
        let pixels = self.height * self.width;
        if self.channels == 1 || !self.channels_first {
            return data.to_vec();
        }
        let mut out = vec![T::default(); 3 * self.count * pixels];
        out.par_chunks_exact_mut(3 * pixels).zip(data.par_chunks_exact(3 * pixels)).for_each(|(out, data)| {
            let pixel = |i: usize| [data[i], data[i + pixels], data[i + 2 * pixels]];
            out.as_chunks_mut::<3>().0.iter_mut().enumerate().for_each(|(i, to)| *to = pixel(i));
        });
        out
    }

    /// One picture after the other.
    pub(super) fn pictures(&self, pixels: &Pixels) -> Vec<Picture> {
        let len = self.height * self.width * self.channels;
        let picture =
            |i: usize| Picture::from_pixels([self.width, self.height], self.channels, pixels.gathered(|at| i * len + at, len));
        (0..self.count).map(picture).collect()
    }
}

/// The pictures of a `.npy` file: (N, H, W), (N, 3, H, W) or (N, H, W, 3), or an array of any more axes before these. Values of other types
/// than uint8 and uint16 become floats and stay as they are.
///
/// # Errors
/// When the file cannot be read as such, or has no pictures.
pub fn load_stack(path: &Path) -> Result<Vec<Picture>> {
    let array = load_npy(path)?;
    let frames = Frames::of_any(array.shape()).map_err(|what| Error::file(path, what))?;
    Ok(frames.pictures(&frames.pixels(&array)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_before_those_of_a_picture_count_pictures() {
        for (shape, [count, height, width, channels]) in [
            (&[5, 8, 9][..], [5, 8, 9, 1]),
            (&[2, 5, 8, 9], [10, 8, 9, 1]),
            (&[2, 5, 3, 8, 9], [10, 8, 9, 3]),
            (&[5, 8, 9, 3], [5, 8, 9, 3]),
            (&[2, 4, 1, 8, 9], [8, 8, 9, 1]),
        ] {
            let f = Frames::of_any(shape).unwrap();
            assert_eq!([f.count, f.height, f.width, f.channels], [count, height, width, channels], "{shape:?}");
        }
        assert!(Frames::of_any(&[8, 9]).is_err() && Frames::of_any(&[0, 8, 9]).is_err());
    }
}
