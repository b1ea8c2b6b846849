//! Denoising of pictures of any size: padded to what the network divides by, and given to it whole, in strips from top to bottom,
//! or in tiles that overlap. Strips give the same picture as one pass up to rounding, and compute no pixel twice where they are
//! as wide as it.

mod budget;
mod estimate;
mod evaluate;
mod flips;
mod pieces;
mod scale;
mod windows;

use std::array::from_fn;
use std::collections::BTreeMap;
use std::sync::Arc;

pub use estimate::{Estimate, Estimator};
pub use evaluate::{Evaluation, Scored, evaluate, evaluate_picture, evaluate_signal};
use rayon::prelude::*;

use crate::data::features::Features;
use crate::data::picture::{Picture, Rows};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::nets::{Model, Network, Ranges, Reading};

pub(crate) use budget::overlap;
use budget::{Budget, Cut};
use pieces::{Original, Piece, Prepared};

/// Shapes of pieces that stay prepared, as long as they fit the memory there is together.
const PREPARED: usize = 3;

/// A model on a device.
pub struct Denoiser {
    device: Device,
    network: Arc<dyn Network>,
    ranges: Ranges,
    reading: Reading,
    params: Vec<f32>,
    /// The last one used comes last.
    prepared: Vec<Prepared>,
    budget: Budget,
    /// Whether results are means over flips and turns.
    flips: bool,
}

/// A row of a photo of which some pixels are done.
struct Begun {
    /// How many.
    pixels: usize,
    row: Rows,
}

impl std::fmt::Debug for Denoiser {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let network = self.network.name();
        f.debug_struct("Denoiser").field("network", &network).field("device", &self.device).finish_non_exhaustive()
    }
}

impl Denoiser {
    /// Prepares a model; `tile` limits the side of what the network is given at once, pixels.
    ///
    /// # Errors
    /// If the device cannot hold the smallest strip, or it is wider than `tile`.
    pub fn new(device: &Device, model: &Model, tile: Option<usize>) -> Result<Self> {
        let denoiser = Self::with_params(device, (Arc::clone(&model.network), model.ranges), model.params.clone(), tile)?;
        Ok(Self { reading: model.reading(), ..denoiser })
    }

    /// Prepares a network with these parameters.
    ///
    /// # Errors
    /// If the device cannot hold the smallest strip, or it is wider than `tile`.
    pub fn with_params(
        device: &Device,
        (network, ranges): (Arc<dyn Network>, Ranges),
        params: Vec<f32>,
        tile: Option<usize>,
    ) -> Result<Self> {
        let budget = Budget::new(device, network.as_ref(), tile)?;
        Ok(Self {
            device: device.clone(),
            network,
            ranges,
            reading: Reading::Light,
            params,
            prepared: Vec::new(),
            budget,
            flips: false,
        })
    }

    /// Whether a photo is denoised as the mean of what comes of its eight flips and quarter turns (test-time augmentation). It
    /// takes eight times as long, and 12 bytes of memory for every pixel.
    #[must_use]
    pub fn with_flips(mut self, flips: bool) -> Self {
        self.flips = flips;
        self
    }

    /// Replaces the network's parameters.
    ///
    /// # Errors
    /// If the device is lost.
    pub fn set_params(&mut self, params: Vec<f32>) -> Result<()> {
        self.params = params;
        self.prepared.iter_mut().try_for_each(|p| p.set_params(&self.params))
    }

    /// Makes the network ready for the pieces of a padded picture (height, width), as the last of `prepared`. They are smaller
    /// where the device has not enough memory.
    fn fit(&mut self, padded: [usize; 2]) -> Result<()> {
        loop {
            match self.prepare(self.budget.cut(padded)) {
                Err(Error::Memory(_)) if self.budget.shrink() => {}
                other => return other,
            }
        }
    }

    fn prepare(&mut self, cut: Cut) -> Result<()> {
        if let Some(at) = self.prepared.iter().position(|p| p.cut == cut) {
            self.prepared[at..].rotate_left(1);
            return Ok(());
        }
        let retained = self.budget.retained_bytes();
        while self.prepared.len() == PREPARED || self.prepared.iter().map(Prepared::bytes).sum::<u64>() > retained {
            self.prepared.remove(0);
        }
        let mut prepared = Prepared::new(&self.device, self.network.as_ref(), &self.budget, cut)?;
        prepared.set_params(&self.params)?;
        self.prepared.push(prepared);
        Ok(())
    }

    /// Denoises a picture (H, W, C): colours about [0, 1], or linear ones from 0 where the network reads these (`hdr`), and
    /// behind them what else it reads, as [`Features`] have it. The result (H, W, 3), or (H, W, 1) of a network for grey
    /// pictures, is not clipped.
    ///
    /// # Errors
    /// If `values` has another length, the device fails, or gives values that are not finite.
    pub fn denoise(&mut self, values: &[f32], width: usize, height: usize) -> Result<Vec<f32>> {
        let out = if self.flips {
            self.check_length(values, width, height)?;
            let channels = self.network.inputs();
            let load = |i: usize, to: &mut [f32]| to.copy_from_slice(&values[i * channels..][..channels]);
            let mean = self.mean_of_flips([height, width], load, |_| ())?;
            mean.iter().flat_map(|rgb| &rgb[..self.network.colours()]).copied().collect()
        } else {
            self.run(values, width, height)?
        };
        if out.iter().all(|v| v.is_finite()) { Ok(out) } else { Err(not_finite(&self.device)) }
    }

    /// Denoises a photo with its features, of which `strength` (0 to 1) is blended with the original. `progress` is told the
    /// share that is done, again and again.
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

    /// [`Denoiser::denoise_picture`], row by row: `emit` gets them from the top down, as soon as they are done. Beside the photo
    /// it takes the memory of a strip, and of rows that wait for others above them.
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
        self.check_features(photo)?;
        if self.flips {
            return self.denoise_flips(photo, strength, progress, emit);
        }
        let (device, scale) = (self.device.clone(), self.scale());
        let [width, height] = photo.header().size();
        let mut begun: BTreeMap<usize, Begun> = BTreeMap::new();
        // Rows that have been emitted, and pixels that are done.
        let (mut top, mut done) = (0, 0);
        let blend = |piece: &Piece, y: usize, row: &mut Rows| {
            piece.columns.clone().zip(piece.row(y)).all(|(x, denoised)| {
                let noisy = scale.colour(photo, y * width + x);
                scale.set(row, x, blended(noisy, denoised, strength));
                denoised.iter().all(|v| v.is_finite())
            })
        };
        let store = |piece: &Piece| {
            let start = |y: usize| Begun { pixels: 0, row: photo.row(y) };
            let mut rows: Vec<(usize, Option<Begun>)> = piece.rows.clone().map(|y| (y, begun.remove(&y))).collect();
            let finite = rows.par_iter_mut().map(|(y, row)| {
                let Begun { pixels, row } = row.get_or_insert_with(|| start(*y));
                *pixels += piece.columns.len();
                blend(piece, *y, row)
            });
            if !finite.reduce(|| true, |a, b| a && b) {
                return Err(not_finite(&device));
            }
            begun.extend(rows.into_iter().filter_map(|(y, row)| Some((y, row?))));
            while let Some(next) = begun.first_entry().filter(|next| *next.key() == top && next.get().pixels == width) {
                emit(next.remove().row)?;
                top += 1;
            }
            done += piece.rows.len() * piece.columns.len();
            progress(done as f64 / (width * height) as f64);
            Ok(())
        };
        self.each_piece([height, width], |i, to| scale.load(photo, i, to), store)
    }

    /// Refuses a picture in colour where the network reads grey ones.
    ///
    /// # Errors
    /// The end of a sentence that names the picture.
    pub fn check_colours(&self, photo: &Picture) -> Result<(), String> {
        if self.network.colours() == 3 || photo.is_grey() {
            return Ok(());
        }
        Err("has colours, but the model is one of grey pictures: give it in grey, or take a model of colours".to_owned())
    }

    /// A photo with the values that the model reads, as [`Reading`] has it.
    #[must_use]
    pub fn as_read(&self, photo: Picture) -> Picture {
        self.reading.of(photo)
    }

    /// Which values of pictures are black and white to the model, where they are others than 0 and 1.
    pub fn signal(&self) -> Option<[f32; 2]> {
        self.network.values().signal(&self.ranges)
    }

    fn scale(&self) -> Scale {
        if self.network.transfer().is_linear() { Scale::Linear } else { Scale::Display }
    }

    /// Refuses a photo without the features that the network reads, or with others, and one in colour where it reads grey ones.
    fn check_features(&self, photo: &Picture) -> Result<()> {
        self.check_colours(photo).map_err(|problem| Error::data(format!("a picture {problem}")))?;
        self.network.check_features(photo.features().map_or(0, Features::channels))
    }

    fn check_length(&self, values: &[f32], width: usize, height: usize) -> Result<()> {
        let channels = self.network.inputs();
        if Some(values.len()) != width.checked_mul(height).and_then(|n| n.checked_mul(channels)) || values.is_empty() {
            let (len, each) = (values.len(), if channels == 3 { "three".to_owned() } else { channels.to_string() });
            let problem =
                format!("a picture of {width}x{height} pixels cannot have {len} values: give {each} for every pixel, row by row");
            return Err(Error::data(problem));
        }
        Ok(())
    }

    /// [`Denoiser::denoise`] whatever the values.
    pub(crate) fn run(&mut self, values: &[f32], width: usize, height: usize) -> Result<Vec<f32>> {
        let colours = self.network.colours();
        let mut out = vec![0.0; values.len() / self.network.inputs() * colours];
        self.each_row(values, [height, width], &mut out, |to, v| to.copy_from_slice(&v[..colours]))?;
        Ok(out)
    }

    /// Denoises a picture (H, W, C) into `out`, which has the values of a colour for a pixel: `set` makes them of it.
    fn each_row<T: Send>(
        &mut self,
        values: &[f32],
        [height, width]: [usize; 2],
        out: &mut [T],
        set: impl Fn(&mut [T], [f32; 3]) + Sync,
    ) -> Result<()> {
        self.check_length(values, width, height)?;
        let (channels, colours) = (self.network.inputs(), self.network.colours());
        let load = |i: usize, to: &mut [f32]| to.copy_from_slice(&values[i * channels..][..channels]);
        self.each_piece([height, width], load, |piece| {
            let rows = out[colours * width * piece.rows.start..].par_chunks_exact_mut(colours * width).zip(piece.rows.clone());
            rows.for_each(|(row, y)| {
                let to = row[colours * piece.columns.start..].chunks_exact_mut(colours);
                to.zip(piece.row(y)).for_each(|(to, v)| set(to, v));
            });
            Ok(())
        })
    }

    /// Denoises a picture of `size` (height, width) piece by piece. `load` writes the values of a pixel, counted row by row;
    /// `store` takes what came of a piece.
    fn each_piece(
        &mut self,
        size: [usize; 2],
        load: impl Fn(usize, &mut [f32]) + Sync,
        mut store: impl FnMut(&Piece) -> Result<()>,
    ) -> Result<()> {
        let padded = self.budget.padded(size);
        self.fit(padded)?;
        let prepared = self.prepared.last_mut().expect("it was just put there");
        let places = self.budget.places(prepared.cut, size, prepared.lag);
        let (channels, transfer) = (self.network.inputs(), self.network.transfer());
        let (padded_height, colours, ranges) = (padded[0], self.network.colours(), self.ranges);
        let original = Original { size, padded_height, load, channels, colours, ranges, transfer };
        let done = prepared.run(&original, &places, &mut store);
        if done.is_err() {
            // Reads of this picture may still be under way there; the next one must not get them.
            self.prepared.pop();
        }
        done
    }
}

/// `strength` of what is denoised, the rest of the original.
fn blended(noisy: [f32; 3], denoised: [f32; 3], strength: f32) -> [f32; 3] {
    from_fn(|c| noisy[c] + strength * (denoised[c] - noisy[c]))
}

/// Which values of pictures a network reads.
#[derive(Clone, Copy)]
enum Scale {
    /// As on a display.
    Display,
    /// In linear light.
    Linear,
}

impl Scale {
    fn colour(self, photo: &Picture, i: usize) -> [f32; 3] {
        match self {
            Self::Display => photo.rgb(i),
            Self::Linear => photo.linear(i),
        }
    }

    fn set(self, row: &mut Rows, i: usize, colour: [f32; 3]) {
        match self {
            Self::Display => row.set_rgb(i, colour),
            Self::Linear => row.set_linear(i, colour),
        }
    }

    /// Writes the colour of pixel `i`, and its features behind it.
    fn load(self, photo: &Picture, i: usize, to: &mut [f32]) {
        let colours = to.len().min(3);
        to[..colours].copy_from_slice(&self.colour(photo, i)[..colours]);
        if let Some(features) = photo.features() {
            to[3..].copy_from_slice(features.of_pixel(i));
        }
    }
}

fn not_finite(device: &Device) -> Error {
    Error::device(device.name(), "the network gave values that are not finite: try the CPU or another model")
}
