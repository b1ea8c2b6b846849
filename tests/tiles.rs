//! Tiles give the same picture as one pass, to what rounding of sums in another order may change.

mod common;

use n2n_gpu::denoise::Denoiser;
use n2n_gpu::device::Device;
use n2n_gpu::nets::{Init, NetOptions, Norm, initial};

#[test]
fn tiles_give_the_same_picture_as_one_pass() {
    let (width, height) = (61, 85);
    let picture: Vec<f32> = (0..width * height * 3).map(|i| 0.5 + 0.4 * (i as f32 * 0.37).sin()).collect();
    // Software adapters are slow: one level there shows it.
    for (levels, adapters) in [(1, common::adapters()), (2, Vec::new())] {
        let options = NetOptions::unet(4, levels, Norm::None);
        let params = initial(&options.skeleton(), Init::He, 1);
        let net = (options, options.ranges((0.5, 0.2)));
        let least = |device: &Device| {
            let message = Denoiser::with_params(device, net, params.clone(), Some(1)).unwrap_err().to_string();
            message.split(' ').find_map(|word| word.parse::<usize>().ok()).expect("the message names the smallest tile")
        };
        for device in std::iter::once(Device::Cpu).chain(adapters) {
            let tile = least(&device);
            assert!(tile < height, "the picture fits one tile of {tile} pixels");
            let [whole, tiles] = [None, Some(tile)].map(|tile| {
                let mut denoiser = Denoiser::with_params(&device, net, params.clone(), tile).unwrap();
                denoiser.denoise(&picture, width, height).unwrap()
            });
            let worst = whole.iter().zip(&tiles).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst <= 1e-5, "{}, {levels} levels, tiles of {tile} pixels: {worst}", device.name());
        }
    }
}

#[test]
fn the_default_network_fits_the_least_of_devices_and_a_larger_one_says_what_to_do() {
    for mut gpu in common::gpus() {
        gpu.adapter.limits = n2n_gpu::kernel::Limits::default();
        let device = Device::Gpu(gpu);
        let of = |levels| {
            let options = NetOptions::unet(48, levels, Norm::None);
            (options, options.ranges((0.5, 0.2)))
        };
        assert!(Denoiser::with_params(&device, of(4), Vec::new(), None).is_ok());
        let message = Denoiser::with_params(&device, of(5), Vec::new(), None).unwrap_err().to_string();
        assert!(message.contains("binds 128 MiB") && message.contains("--device cpu"), "{message}");
    }
}
