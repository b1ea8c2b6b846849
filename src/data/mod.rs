//! Pictures and tensors in and out of files, data sets, and how good pictures are.

mod archive;
pub mod array;
mod coming;
pub mod dataset;
pub mod files;
mod formats;
pub mod metrics;
pub mod npy;
pub mod photo;
mod pickle;
pub mod picture;
pub mod torch;
mod value;
