//! Pictures and tensors in and out of files, data sets, and how good pictures are.

mod archive;
pub mod array;
pub mod dataset;
mod decode;
mod encode;
pub mod files;
mod formats;
pub(crate) mod input;
mod listing;
pub mod metrics;
pub mod npy;
mod output;
mod pickle;
pub mod picture;
mod skipped;
mod streamed;
pub mod torch;
pub mod tza;
mod value;
