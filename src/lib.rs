//! n2n-gpu: training and running image denoisers with hand-written WGSL kernels, on any GPU or none.
//!
//! A network is straight-line code that records **ops** into a **graph**; `backward` records more of the same. Lowering
//! turns the graph into a **plan**: memory and kernel dispatches as plain data. An **executor** replays it, on a GPU or
//! on the CPU. A training step, the denoising of a tile and the test of one op are all plans.
//!
//! Reading order: [`kernel`], [`graph`], [`ops`], [`plan`], [`gpu`], [`cpu`], [`device`], [`nets`], [`data`], [`train`],
//! [`denoise`].
//!
//! Layers, from the top to the bottom. Imports point down, or sideways within a layer (tests/layers.rs reads this table):
//!
//! ```text
//! main, cli
//! check, profile, train
//! denoise
//! nets
//! data, device
//! ops, plan, gpu, cpu
//! graph
//! kernel, error
//! ```

pub mod check;
pub mod cpu;
pub mod data;
pub mod denoise;
pub mod device;
pub mod error;
pub mod gpu;
pub mod graph;
pub mod kernel;
pub mod nets;
pub mod ops;
pub mod plan;
pub mod profile;
pub mod train;
