//! Tiles give the same picture as one pass, to what rounding of sums in another order may change.

mod common;

use n2n_gpu::data::photo::Photo;
use n2n_gpu::data::picture::Picture;
use n2n_gpu::denoise::Denoiser;
use n2n_gpu::device::Device;
use n2n_gpu::gpu::{self, Gpu};
use n2n_gpu::nets::{Init, NetOptions, Norm, initial};
use n2n_gpu::ops::random_normals;

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

/// A photo of waves as a file would give it, and a denoiser with the smallest tiles for it.
fn photo_in_tiles(params: impl Fn(Vec<f32>) -> Vec<f32>) -> (Photo, Denoiser, Denoiser) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("photo.png");
    let rgb: Vec<u8> = (0..150 * 101 * 3).map(|i| (128.0 + 100.0 * (f64::from(i) * 0.37).sin()) as u8).collect();
    Picture::from_rgb8(150, 101, &rgb).save(&path).unwrap();
    let options = NetOptions::unet(4, 1, Norm::None);
    let params = params(initial(&options.skeleton(), Init::He, 1));
    let denoiser =
        |tile| Denoiser::with_params(&Device::Cpu, (options, options.ranges((0.5, 0.2))), params.clone(), tile).unwrap();
    (Photo::load(&path).unwrap(), denoiser(Some(48)), denoiser(None))
}

#[test]
fn a_photo_is_denoised_as_its_values_are_and_progress_rises_to_1() {
    let (photo, mut tiles, mut whole) = photo_in_tiles(|params| params);
    let pixels = 150 * 101;
    let values: Vec<f32> = (0..pixels).flat_map(|i| photo.rgb(i)).collect();
    let expected = whole.denoise(&values, 150, 101).unwrap();
    for strength in [1.0, 0.25] {
        let mut shares = vec![0.0];
        let denoised = tiles.denoise_photo(&photo, strength, |share| shares.push(share)).unwrap();
        assert!(shares.is_sorted() && shares.len() > 100 && shares.last() == Some(&1.0), "{shares:?}");
        for (i, value) in (0..pixels).flat_map(|i| denoised.rgb(i)).enumerate() {
            let expected = (values[i] + strength * (expected[i] - values[i])).clamp(0.0, 1.0);
            // Half a level of rounding, and what tiles may differ by.
            assert!((value - expected).abs() <= 0.5 / 255.0 + 2e-5, "value {i} is {value}, not {expected}");
        }
    }
}

#[test]
fn the_first_tile_that_is_not_finite_ends_the_photo_but_not_the_denoiser() {
    let (photo, mut broken, mut whole) = photo_in_tiles(|params| vec![f32::NAN; params.len()]);
    let mut calls = 0;
    let message = broken.denoise_photo(&photo, 1.0, |_| calls += 1).unwrap_err().to_string();
    assert!(message.contains("not finite") && calls == 0, "{message} after {calls} rows");
    assert!(whole.denoise_photo(&photo, 1.0, |_| ()).is_err());
    let (_, mut fine, _) = photo_in_tiles(|params| params);
    let expected = fine.denoise_photo(&photo, 1.0, |_| ()).unwrap();
    broken.set_params(initial(&NetOptions::unet(4, 1, Norm::None).skeleton(), Init::He, 1)).unwrap();
    let denoised = broken.denoise_photo(&photo, 1.0, |_| ()).unwrap();
    assert!((0..150 * 101).all(|i| denoised.rgb(i) == expected.rgb(i)));
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
        assert_eq!(Denoiser::with_params(&device, of(4), Vec::new(), None).unwrap().short_overlap(), None);
        // The published networks: tiles that overlap by all that a pixel sees would take 173 MiB.
        let (overlap, seen) = Denoiser::with_params(&device, of(5), Vec::new(), None).unwrap().short_overlap().unwrap();
        assert!(overlap >= 128 && overlap < seen, "{overlap} of {seen}");
        let message = Denoiser::with_params(&device, of(8), Vec::new(), None).unwrap_err().to_string();
        assert!(message.contains("binds 128 MiB") && message.contains("--device cpu"), "{message}");
    }
}

#[test]
fn tiles_are_smaller_where_memory_is_short() {
    let options = NetOptions::unet(8, 1, Norm::None);
    let net = (options, options.ranges((0.5, 0.2)));
    let params = initial(&options.skeleton(), Init::He, 3);
    let (width, height) = (210, 190);
    let picture: Vec<f32> = random_normals(5, 0).take(width * height * 3).map(|z| 0.5 + 0.2 * z as f32).collect();
    let expected =
        Denoiser::with_params(&Device::Cpu, net, params.clone(), None).unwrap().denoise(&picture, width, height).unwrap();
    for index in 0..gpu::adapters().len() {
        let mut gpu = Gpu::open_with(index, |l| (l.buffer_bytes, l.binding_bytes) = (1 << 20, 1 << 20)).unwrap();
        // The planner is told that there is more than the device gives.
        gpu.adapter.limits = n2n_gpu::kernel::Limits { invocations: gpu.adapter.limits.invocations, ..Default::default() };
        let mut denoiser = Denoiser::with_params(&Device::Gpu(gpu), net, params.clone(), None).unwrap();
        let found = denoiser.denoise(&picture, width, height).unwrap();
        let worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-4, "{worst}");
    }
}
