//! Pictures and tensors in and out of files, data sets, noise, and how good pictures are.

mod archive;
pub mod array;
mod coming;
pub mod dataset;
pub mod files;
mod formats;
pub(crate) mod input;
pub mod metrics;
pub mod noise;
pub mod npy;
mod output;
pub mod photo;
mod pickle;
pub mod picture;
pub mod torch;
mod value;
