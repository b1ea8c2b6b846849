//! `--aux`: what networks read of renderers' pictures beside the colours.

use std::path::Path;
use std::sync::Arc;

use clap::Args;
use n2n_gpu::data::features::{FeatureSource, Features};
use n2n_gpu::data::picture::Picture;
use n2n_gpu::error::{Error, Result};
use n2n_gpu::nets::Network;
use n2n_gpu::train::TrainingPicture;

use super::Usage;

/// The features that are given to networks of 6 and 9 input channels.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct AuxArgs {
    /// Features of renderers beside the colours: albedo, or albedo,normal
    ///
    /// For networks with 6 or 9 --inputs. They are layers of the OpenEXR file with the colours, of names such as albedo,
    /// Denoising Albedo, normal or N. With albedo=PATH,normal=PATH they are files of their own (OpenEXR, PFM, Radiance HDR): a
    /// file for one picture, or a folder with the names of the pictures
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(super) aux: Vec<FeatureSource>,
}

impl AuxArgs {
    /// Whether none are given.
    pub(super) fn is_empty(&self) -> bool {
        self.aux.is_empty()
    }

    /// Channels of all features.
    pub(super) fn channels(&self) -> usize {
        3 * self.aux.len()
    }

    /// Refuses what the network does not read, or less than it reads.
    pub(super) fn check(&self, network: &dyn Network) -> anyhow::Result<()> {
        network.check_features(self.channels()).map_err(|e| Usage::new(format!("--aux: {e}")))
    }

    /// Refuses one file of features for several pictures, and a folder for those of a tree, where names may be there twice.
    pub(super) fn check_inputs(&self, pictures: usize, recursive: bool) -> anyhow::Result<()> {
        for side in self.aux.iter().filter_map(|source| source.side.as_deref()) {
            if recursive {
                return Err(Usage::new("--aux: with --recursive, features must be layers of the pictures' own files"));
            }
            if pictures > 1 && !side.is_dir() {
                let problem = format!("--aux {}: is one file for {pictures} pictures: name a folder", side.display());
                return Err(Usage::new(problem));
            }
        }
        Ok(())
    }

    /// A picture with its features; `path` is its file.
    pub(super) fn attach(&self, path: &Path, picture: Picture) -> Result<Picture> {
        if self.is_empty() {
            return Ok(picture);
        }
        let features = Features::read(path, &picture, &self.aux)?;
        Ok(picture.with_features(features))
    }

    /// Reads a picture to train on, with its features, in floats.
    pub(super) fn load(&self, path: &Path, network: &Arc<dyn Network>) -> Result<TrainingPicture> {
        let picture = Picture::load(path)?;
        let linear = network.transfer().is_linear();
        if linear && !picture.is_linear() {
            let problem =
                "has values for a display, not linear ones: give OpenEXR, PFM or Radiance HDR, or a network without --hdr";
            return Err(Error::file(path, problem));
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(TrainingPicture::of_render(name, &self.attach(path, picture)?, linear))
    }
}
