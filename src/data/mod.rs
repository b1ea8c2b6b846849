//! Pictures in and out of files, and how good they are.

pub mod metrics;
pub mod picture;
