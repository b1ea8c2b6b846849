//! Pictures that lie in an array, one after the other; `.npy` files of them, read and written page by page.

use std::io::{self, Read, Write};

use half::f16;
use rayon::prelude::*;

use super::array::{Array, DType};
use super::decode::{Decoded, check_pixels};
use super::encode::{Failure, Raw};
use super::metadata::{Metadata, Own};
use super::npy::{header, read_npy};
use super::picture::Picture;
use super::samples::{Color, Depth, Rows, Samples};
use super::transfer::Transfer;
use crate::ops::Pixels;

/// How pictures lie in an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frames {
    pub(super) count: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    /// 1 to 4: grey or colours, of even numbers with alpha.
    channels: usize,
    channels_first: bool,
}

impl Frames {
    /// Of an array (N, C, H, W) of 1 or 3 channels, (N, H, W, C) of 1 to 4, or (N, H, W). Where a shape can be read both ways,
    /// channels come first.
    pub(super) fn of(shape: &[usize]) -> Result<Self, String> {
        let frames = match *shape {
            [count, height, width] => Self { count, height, width, channels: 1, channels_first: false },
            [count, ..] if shape.len() == 4 => Self::of_file(shape).map(|frames| Self { count, ..frames })?,
            _ => Self { count: 0, height: 0, width: 0, channels: 0, channels_first: false },
        };
        if shape.contains(&0) {
            return Err(format!("holds no pictures (shape {shape:?}): give at least one pair"));
        }
        if frames.count * frames.height * frames.width * frames.channels != shape.iter().product::<usize>() {
            return Err(format!("holds an array of shape {shape:?}: pictures are (N, 3, H, W) or (N, H, W, 3)"));
        }
        Ok(frames)
    }

    /// Of an array (H, W), (H, W, C) of 1 to 4 channels or (C, H, W) of 1 or 3, which has any axes before these of which every
    /// entry is a picture: at least one, where channels come first.
    fn of_file(shape: &[usize]) -> Result<Self, String> {
        let rank = shape.len();
        let (axes, [height, width, channels], channels_first) = match *shape {
            [.., c @ (1 | 3), h, w] if rank > 3 && (c == 3 || w != 3) => (3, [h, w, c], true),
            [.., h, w, c @ 1..=4] if rank > 2 => (3, [h, w, c], false),
            [.., h, w] => (2, [h, w, 1], false),
            _ => return Err(format!("holds an array of shape {shape:?}: a picture is (H, W) or (H, W, 3), a stack (N, H, W)")),
        };
        if shape.contains(&0) {
            return Err(format!("holds no pictures (shape {shape:?}): save it again"));
        }
        Ok(Self { count: shape[..rank - axes].iter().product(), height, width, channels, channels_first })
    }

    /// Channels of colours.
    pub(super) fn colours(&self) -> usize {
        if self.channels < 3 { 1 } else { 3 }
    }

    /// The values as (N, H, W, C), without alpha, as precise as they are: of other whole numbers than those of 8 and 16 bit
    /// without sign, and of floats, as they are.
    pub(super) fn pixels(&self, array: &Array) -> Pixels {
        match array.dtype() {
            DType::U8 => Pixels::Bytes(self.opaque(self.arranged(array.data()))),
            DType::U16 => Pixels::Words(self.opaque(self.arranged(&bytemuck::pod_collect_to_vec::<u8, u16>(array.data())))),
            _ => Pixels::Floats(self.opaque(self.arranged(&array.to_f32()))),
        }
    }

    fn opaque<T: Copy>(&self, values: Vec<T>) -> Vec<T> {
        let colours = self.colours();
        if colours == self.channels {
            return values;
        }
        values.chunks_exact(self.channels).flat_map(|pixel| &pixel[..colours]).copied().collect()
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

    /// One picture after the other, of what [`Frames::pixels`] gives.
    pub(super) fn pictures(&self, pixels: &Pixels) -> Vec<Picture> {
        let len = self.height * self.width * self.colours();
        let picture =
            |i: usize| Picture::from_pixels([self.width, self.height], self.colours(), pixels.gathered(|at| i * len + at, len));
        (0..self.count).map(picture).collect()
    }
}

/// The array of a file, to write another like it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Like {
    dtype: DType,
    shape: Vec<usize>,
}

/// How samples of a type are held: others than uint8, uint16 and float16 in single precision.
fn depth(dtype: DType) -> Depth {
    match dtype {
        DType::U8 => Depth::Eight,
        DType::U16 => Depth::Sixteen,
        DType::F16 => Depth::Half,
        _ => Depth::Float,
    }
}

/// A `.npy` file of pictures.
pub(super) struct Reader {
    array: Array,
    frames: Frames,
    /// What floating point values of this file are, once a page has said so.
    transfer: Option<Transfer>,
}

impl Reader {
    /// Reads a file. What is wrong, when something is, is the end of a sentence that the file name begins.
    pub(super) fn open(file: impl Read, len: u64) -> Result<Self, String> {
        let array = read_npy(file, len)?;
        let frames = Frames::of_file(array.shape())?;
        check_pixels([frames.width, frames.height], 1)?;
        Ok(Self { array, frames, transfer: None })
    }

    pub(super) fn count(&self) -> usize {
        self.frames.count
    }

    /// Page `n`, from 0.
    pub(super) fn page(&mut self, n: usize) -> Decoded {
        let (frames, dtype) = (Frames { count: 1, ..self.frames }, self.array.dtype());
        let Frames { width, height, channels, .. } = frames;
        let bytes = width * height * channels * dtype.size();
        let data = &self.array.data()[n * bytes..(n + 1) * bytes];
        let samples = match dtype {
            DType::U8 => Samples::Bytes(frames.arranged(data)),
            DType::U16 => Samples::Words(frames.arranged(&bytemuck::pod_collect_to_vec::<u8, u16>(data))),
            DType::F16 => Samples::Halves(frames.arranged(&bytemuck::pod_collect_to_vec::<u8, f16>(data))),
            _ => Samples::Floats(frames.arranged(&Array::new(vec![height, width, channels], dtype, data.to_vec()).to_f32())),
        };
        let rows = Rows { color: Color::new(channels, depth(dtype)), transfer: Transfer::Display, samples };
        let transfer = *self.transfer.get_or_insert_with(|| rows.likely_transfer());
        let own = Own::Npy(Box::new(Like { dtype, shape: self.array.shape().to_vec() }));
        Decoded { size: [width, height], rows: Rows { transfer, ..rows }, metadata: Metadata { own, ..Metadata::default() } }
    }
}

/// A `.npy` file to which pages are written one after the other.
pub(super) struct Writer<W> {
    file: W,
    frames: Frames,
    color: Color,
    dtype: DType,
}

impl<W: Write> Writer<W> {
    /// Begins a file of so many pages like the first: of the shape and type that this came in, if it came in such a file.
    pub(super) fn new(mut file: W, pages: usize, first: &Raw) -> io::Result<Self> {
        let [width, height] = [first.width, first.height].map(|side| side as usize);
        let (color, channels) = (first.color, first.color.channels());
        let fits = |like: &&Like| {
            let frames = Frames::of_file(&like.shape);
            let fits = |f: &Frames| [f.count, f.width, f.height, f.channels] == [pages, width, height, channels];
            depth(like.dtype) == color.depth && frames.is_ok_and(|frames| fits(&frames))
        };
        let like = if let Own::Npy(like) = first.metadata.own { Some(&**like).filter(fits) } else { None };
        let new = || {
            let count = Some(pages).filter(|pages| *pages > 1);
            let shape = count.into_iter().chain([height, width]).chain(Some(channels).filter(|c| *c > 1)).collect();
            let dtype = match color.depth {
                Depth::One | Depth::Eight => DType::U8,
                Depth::Sixteen => DType::U16,
                Depth::Half => DType::F16,
                Depth::SharedExponent | Depth::Float => DType::F32,
            };
            Like { dtype, shape }
        };
        let Like { dtype, shape } = like.cloned().unwrap_or_else(new);
        let found = like.and_then(|like| Frames::of_file(&like.shape).ok());
        let frames = found.unwrap_or(Frames { count: pages, height, width, channels, channels_first: false });
        file.write_all(&header(&shape, dtype))?;
        Ok(Self { file, frames, color, dtype })
    }

    /// Writes a page.
    pub(super) fn page(&mut self, mut raw: Raw) -> Result<(), Failure> {
        let Frames { width, height, channels, channels_first, .. } = self.frames;
        if [raw.width as usize, raw.height as usize] != [width, height] || raw.color != self.color {
            return Err("its pages differ in size or depth, and an array holds those of one kind".into());
        }
        if channels_first && channels > 1 {
            let (samples, bytes) = (raw.samples()?, self.color.depth.bytes());
            let plane = |c: usize| samples.chunks_exact(bytes).skip(c).step_by(channels).flatten().copied().collect::<Vec<_>>();
            return (0..channels).try_for_each(|c| Ok(self.file.write_all(&self.converted(&plane(c)))?));
        }
        for band in raw.bands.by_ref() {
            let values = self.converted(&band);
            self.file.write_all(&values)?;
        }
        Ok(())
    }

    /// Samples as the file has them: whole numbers are rounded, and what is too large becomes the largest.
    fn converted(&self, samples: &[u8]) -> Vec<u8> {
        if depth(self.dtype) != Depth::Float || self.dtype == DType::F32 {
            return samples.to_vec();
        }
        fn each<const N: usize>(samples: &[u8], of: impl Fn(f32) -> [u8; N]) -> Vec<u8> {
            samples.as_chunks().0.iter().flat_map(|v| of(f32::from_ne_bytes(*v))).collect()
        }
        match self.dtype {
            DType::Bool => each(samples, |v| [u8::from(v >= 0.5)]),
            DType::I8 => each(samples, |v| (v.round() as i8).to_le_bytes()),
            DType::I16 => each(samples, |v| (v.round() as i16).to_le_bytes()),
            DType::U32 => each(samples, |v| (v.round() as u32).to_le_bytes()),
            DType::I32 => each(samples, |v| (v.round() as i32).to_le_bytes()),
            DType::I64 => each(samples, |v| (v.round() as i64).to_le_bytes()),
            _ => each(samples, |v| f64::from(v).to_le_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_before_those_of_a_picture_count_pictures() {
        for (shape, [count, height, width, channels]) in [
            (&[8, 9][..], [1, 8, 9, 1]),
            (&[8, 9, 3], [1, 8, 9, 3]),
            (&[8, 9, 4], [1, 8, 9, 4]),
            (&[5, 8, 9], [5, 8, 9, 1]),
            (&[2, 5, 8, 9], [10, 8, 9, 1]),
            (&[2, 5, 3, 8, 9], [10, 8, 9, 3]),
            (&[5, 8, 9, 3], [5, 8, 9, 3]),
            (&[5, 8, 9, 4], [5, 8, 9, 4]),
            (&[2, 4, 1, 8, 9], [8, 8, 9, 1]),
        ] {
            let f = Frames::of_file(shape).unwrap();
            assert_eq!([f.count, f.height, f.width, f.channels], [count, height, width, channels], "{shape:?}");
        }
        assert!(Frames::of_file(&[8]).is_err() && Frames::of_file(&[0, 8, 9]).is_err());
        assert_eq!(Frames::of(&[5, 8, 9, 4]).unwrap().colours(), 3);
        assert!([&[5, 6, 8, 9][..], &[8, 9], &[0, 8, 9]].iter().all(|shape| Frames::of(shape).is_err()));
    }
}
