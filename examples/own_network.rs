//! A network of one's own: trained, interrupted, resumed to the same bits, saved, loaded; 12 megapixels denoised in strips.
//!
//!     cargo run --release --example own_network [PHOTOS [STEPS]]

use std::ops::ControlFlow::{Break, Continue};

use n2n_gpu::data::{files::list, picture::load_rgb8};
use n2n_gpu::denoise::Denoiser;
use n2n_gpu::device::Device;
use n2n_gpu::error::Result;
use n2n_gpu::graph::{Graph, Tensor};
use n2n_gpu::nets::{Model, Modules, Network, options_of};
use n2n_gpu::ops::{Activation, Conv, random_normals};
use n2n_gpu::train::{Length, Options, Run, Source, Validation, split};
use serde_json::{Map, Value};

#[derive(Clone, Copy, serde::Serialize, serde::Deserialize)]
struct TwoScales {
    width: usize,
}

impl Network for TwoScales {
    fn name(&self) -> &'static str {
        "two-scales"
    }

    fn options(&self) -> Map<String, Value> {
        options_of(self)
    }

    fn record(&self, net: &mut Modules, x: Tensor) -> Tensor {
        let (same, lrelu) = (Conv::same3(1), Activation::leaky_relu(0.1));
        let fine = net.conv2d("fine", x, self.width, same, lrelu);
        let coarse = net.conv2d("down", fine, 2 * self.width, Conv::same3(2), lrelu);
        let coarse = net.up2d("up", coarse, self.width);
        let both = net.graph.concat(&[fine, coarse]);
        let noise = net.conv2d("out", both, 3, same, Activation::NONE);
        net.graph.subtract(x, noise)
    }
}

/// The network on a whole picture (H, W, 3) at once.
fn one_pass(device: &Device, model: &Model, rgb: &[f32], [height, width]: [usize; 2]) -> Result<Vec<f32>> {
    let mut g = Graph::new();
    let x = g.host_picture("x", [1, height, width], 3);
    let y = model.network.record(&mut Modules::new(&mut g, false), x);
    let y = g.output("y", y);
    let ([x, y], params) = ([x, y].map(|t| g.view(t).storage), g.params_storage().expect("a network has parameters"));
    let mut executor = device.prepare(g)?;
    executor.write(params, &model.params)?;
    executor.write(x, &rgb.chunks(3).flat_map(|p| [p[0] - 0.5, p[1] - 0.5, p[2] - 0.5, 0.0]).collect::<Vec<_>>())?;
    executor.run()?;
    Ok(executor.read(y)?.chunks(4).flat_map(|p| [p[0] + 0.5, p[1] + 0.5, p[2] + 0.5]).collect())
}

fn main() -> Result<()> {
    let photos = std::env::args().nth(1).unwrap_or_else(|| "assets".into()).into();
    let steps = std::env::args().nth(2).and_then(|n| n.parse().ok()).unwrap_or(300);
    let device = &Device::select("auto")?;
    let (source, held_out) = split(Source::photos(load_rgb8(&list(&[photos])?)?, "gaussian:25".parse()?));
    let validation = &Validation::new(&held_out, 1)?;
    let options = &Options { batch: 4, crop: 32, ..Options::new(device, Length::Steps(steps)) };
    let [whole, parts] = ["whole", "parts"].map(|name| std::env::temp_dir().join("n2n-gpu-own-network").join(name));
    let run =
        Run { device, network: std::sync::Arc::new(TwoScales { width: 8 }), options, source: &source, validation, out: &whole };
    let done = run.start(&mut |_| Continue(()))?;
    println!("{steps} steps: {:.2} -> {:.2} dB", done.psnr_noisy, done.psnr_estimated.unwrap_or(f64::NAN));

    let run = Run { out: &parts, ..run };
    run.start(&mut |p| if p.step == steps / 2 { Break(()) } else { Continue(()) })?;
    let resumed = run.resume(&mut |_| Continue(()))?;
    println!("resumed to the same bits: {}", resumed.model.params == done.model.params);

    let model = Model::load_as::<TwoScales>(&parts.join("last.safetensors"))?;
    let rgb: Vec<f32> = random_normals(1, 0).take(3000 * 4000 * 3).map(|z| 0.5 + 0.2 * z as f32).collect();
    let strips = Denoiser::new(device, &model, None)?.denoise(&rgb, 4000, 3000)?;
    // The CPU convolves by tiles, whose places round differently.
    let whole = one_pass(device, &model, &rgb, [3000, 4000])?;
    let difference = strips.iter().zip(&whole).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    println!("in strips as in one pass, within {difference:.1e}");
    Ok(())
}
