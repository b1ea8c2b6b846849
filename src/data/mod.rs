//! Pictures in and out of files, noise, and how good pictures are.

pub mod files;
pub mod metrics;
pub mod noise;
pub mod picture;
