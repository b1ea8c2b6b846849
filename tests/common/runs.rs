//! Small trainings in folders of their own, that can be stopped and resumed.
#![allow(dead_code, reason = "every test file uses its own part of this")]

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use n2n_gpu::data::picture::Rgb8;
use n2n_gpu::device::Device;
use n2n_gpu::error::Result;
use n2n_gpu::nets::{Norm, Unet};
use n2n_gpu::noise::Noise;
use n2n_gpu::train::{self, Augment, Length, Options, Outcome, Progress, Source, Validation};
use safetensors::SafeTensors;
use serde_json::Value;
use tempfile::TempDir;

use crate::cli::wave;

/// A small training on its way to a folder.
pub(crate) struct Run {
    pub(crate) folder: TempDir,
    pub(crate) source: Source,
    pub(crate) validation: Validation,
    pub(crate) options: Options,
    pub(crate) network: Unet,
}

pub(crate) fn photo(i: u32) -> Rgb8 {
    let (width, height) = (24 + i, 20);
    let data = wave(width, height).into_raw();
    Rgb8 { name: format!("{i}.png"), width: width as usize, height: height as usize, data }
}

impl Run {
    /// A training of so many steps, that is validated twenty times; in the order and the annealed loss with `ordered`.
    pub(crate) fn new(device: &Device, steps: u64, ordered: bool) -> Self {
        let noise: Noise = "gaussian:0-50".parse().unwrap();
        let source = Source::photos((0..5).map(photo).collect(), noise);
        // Of a single picture, so that even the shortest training can afford twenty.
        let mut noisy = photo(9);
        noisy.data.iter_mut().step_by(3).for_each(|v| *v = v.saturating_add(20));
        let validation = Validation::with_clean(vec![(noisy, photo(9))], None).unwrap();
        let base = Options::new(device, Length::Steps(steps));
        let network = Unet::new(4, 1, if ordered { Norm::Batch } else { Norm::None });
        let (augment, loss) = if ordered { (Augment::Triple, n2n_gpu::ops::Loss::ANNEALED) } else { (base.augment, base.loss) };
        let options = Options { batch: 3, crop: 16, augment, loss, ..base };
        Self { folder: tempfile::tempdir().unwrap(), source, validation, options, network }
    }

    pub(crate) fn out(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// Begins, or goes on, and stops once `watch` says so.
    pub(crate) fn run(
        &self,
        device: &Device,
        out: &Path,
        go_on: bool,
        mut watch: impl FnMut(&Progress) -> bool,
    ) -> Result<Outcome> {
        let Self { source, validation, options, network, .. } = self;
        let run = train::Run { device, network: Arc::new(*network), options, source, validation, out };
        let watch = &mut |p: &Progress| if watch(p) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        if go_on { run.resume(watch) } else { run.start(watch) }
    }
}

pub(crate) fn same_bytes(a: &Path, b: &Path, name: &str) -> bool {
    fs::read(a.join(name)).unwrap() == fs::read(b.join(name)).unwrap()
}

/// A run's metrics without what the clock says.
pub(crate) fn metrics(out: &Path) -> Vec<Value> {
    let text = fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in lines.iter_mut().filter_map(Value::as_object_mut) {
        line.retain(|key, _| key != "seconds" && key != "pictures_per_second");
    }
    lines
}

/// Changes what a state says of itself.
pub(crate) fn rewrite(state: &Path, change: impl Fn(&mut Value)) {
    let bytes = fs::read(state).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let mut metadata = header.metadata().clone().unwrap();
    let text = metadata.get_mut("n2n-gpu-state").unwrap();
    let mut snapshot = serde_json::from_str(text).unwrap();
    change(&mut snapshot);
    *text = snapshot.to_string();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    fs::write(state, safetensors::serialize(tensors.tensors(), Some(metadata)).unwrap()).unwrap();
}
