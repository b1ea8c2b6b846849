//! n2n-gpu: training and running image denoisers with hand-written WGSL kernels, on any GPU or none.
//!
//! A network is straight-line code that records **ops** into a **graph**; `backward` records more of the same. Lowering
//! turns the graph into a **plan**: memory and kernel dispatches as plain data. An **executor** replays it, on a GPU or
//! on the CPU. A training step, the denoising of a tile and the test of one op are all plans.
//!
//! A model that `n2n-gpu train` wrote denoises a buffer of values (H, W, 3) from 0 to 1, of any size:
//!
//! ```
//! # fn main() -> n2n_gpu::error::Result<()> {
//! use n2n_gpu::{denoise::Denoiser, device::Device, nets::Model};
//!
//! let (width, height) = (40, 30);
//! let noisy = vec![0.5; height * width * 3];
//! let device = Device::select("auto")?; // the best GPU, or the CPU
//! let model = Model::load("tests/golden/before/unet.safetensors".as_ref())?;
//! let denoised = Denoiser::new(&device, &model, None)?.denoise(&noisy, width, height)?;
//! # assert_eq!(denoised.len(), noisy.len());
//! # Ok(())
//! # }
//! ```
//!
//! Training needs photographs, or pairs of noisy pictures, and a folder for what comes of it:
//!
//! ```
//! # fn main() -> n2n_gpu::error::Result<()> {
//! use n2n_gpu::{data::picture::load_rgb8, device::Device, nets::{Norm, Unet}};
//! use n2n_gpu::train::{Length, Options, Run, Source, Validation, split};
//! use std::{ops::ControlFlow, sync::Arc};
//!
//! # let folder = tempfile::tempdir().unwrap();
//! # let out = folder.path();
//! let device = &Device::select("auto")?;
//! let photos = load_rgb8(&["assets/chelsea-192.png".into(), "assets/rocket-192.png".into()])?;
//! let (source, held_out) = split(Source::photos(photos, "gaussian:25".parse()?));
//! let validation = &Validation::new(&held_out, 1)?;
//! let options = &Options { crop: 32, ..Options::new(device, Length::Steps(20)) };
//! let network = Arc::new(Unet::new(8, 2, Norm::None));
//! let run = Run { device, network, options, source: &source, validation, out };
//! let done = run.start(&mut |progress| {
//!     println!("step {}", progress.step);
//!     ControlFlow::Continue(())
//! })?;
//! println!("{:.1} -> {:.1} dB: {}", done.psnr_noisy, done.psnr_estimated.unwrap_or_default(), done.best.display());
//! # Ok(())
//! # }
//! ```
//!
//! Reading order: [`kernel`], [`limits`], [`graph`], [`ops`], [`noise`], [`plan`], [`gpu`], [`cpu`], [`device`], [`nets`],
//! [`data`], [`train`], [`denoise`], [`export`].
//!
//! Layers, from the top to the bottom. Imports point down, or sideways within a layer (tests/layers.rs reads this table):
//!
//! ```text
//! main, cli
//! check, export, profile, train
//! denoise
//! nets
//! data, device
//! graph, ops, noise, plan, gpu, cpu
//! kernel, limits, error
//! ```
//!
//! Programs use [`denoise`], [`train`], [`nets`], [`device`], [`data`], [`noise`], [`export`] and [`error`]; for networks of
//! their own, also [`graph`] and [`ops`]. The rest is the engine, open to whoever measures it or runs graphs by hand: it may
//! change with any version.
//!
//! The engine is one layer: an op, of which the graph is made, names what it is lowered to and what it is run on.

pub mod check;
pub mod cpu;
pub mod data;
pub mod denoise;
pub mod device;
pub mod error;
pub mod export;
pub mod gpu;
pub mod graph;
pub mod kernel;
pub mod limits;
pub mod nets;
pub mod noise;
pub mod ops;
pub mod plan;
pub mod profile;
pub mod train;

pub use wgpu;
