//! Pictures and tensors in and out of files, data sets, and how good pictures are.

mod archive;
pub mod array;
pub mod dataset;
mod decode;
mod encode;
pub mod files;
mod formats;
mod ifd;
pub(crate) mod input;
mod kinds;
pub mod metrics;
pub mod npy;
mod output;
mod pickle;
pub mod picture;
mod streamed;
pub mod torch;
mod value;
