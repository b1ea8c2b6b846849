//! Tiles give the same picture as one pass, to what rounding of sums in another order may change.

mod common;

use n2n_gpu::data::photo::Photo;
use n2n_gpu::data::picture::Picture;
use n2n_gpu::denoise::Denoiser;
use n2n_gpu::device::Device;
use n2n_gpu::gpu::{self, Gpu};
use n2n_gpu::graph::Graph;
use n2n_gpu::nets::{Down, Init, Net, NetOptions, Norm, Up, initial};
use n2n_gpu::ops::{Strips, random_normals};

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
fn every_network_gives_in_strips_what_it_gives_in_one_pass() {
    let nets = [
        NetOptions { residual: true, ..NetOptions::unet(4, 2, Norm::Batch) },
        NetOptions { down: Down::Maxpool, up: Up::Nearest, ..NetOptions::unet(4, 3, Norm::None) },
        NetOptions { width: 4, ..NetOptions::new(Net::EpflUnet) },
        NetOptions { width: 4, ..NetOptions::new(Net::N2nUnet) },
        NetOptions::new(Net::EpflConvnet),
    ];
    for options in nets {
        // One strip is the whole picture, the others are as small as can be and larger than what a pixel sees.
        let (h, w, multiple) = (6 * options.multiple(), 2 * options.multiple(), options.multiple());
        let mut g = Graph::new();
        let x = g.host_picture("x", [1, h, w], 3);
        let y = options.record(&mut g, x);
        let strips = [multiple, 2 * multiple, 5 * multiple].map(|rows| (rows, g.in_strips(x, y, rows).unwrap()));
        let (params, x) = (initial(&g, Init::He, 3), g.view(x).storage);
        let y = g.output("y", y);
        let y = g.view(y).storage;
        let values: Vec<f32> = random_normals(9, 1).take(4 * h * w).map(|z| z as f32).collect();
        let values: Vec<f32> = values.chunks(4).flat_map(|v| [v[0], v[1], v[2], 0.0]).collect();
        let mut whole = Device::Cpu.prepare(g).unwrap();
        let id = whole.plan().host("params");
        whole.write(id, &params).unwrap();
        whole.write(x, &values).unwrap();
        whole.run().unwrap();
        let expected = whole.read(y).unwrap();
        for (rows, strips) in strips {
            let Strips { graph, x, control, y, first, lag } = strips;
            let mut executor = Device::Cpu.prepare(graph).unwrap();
            let id = executor.plan().host("params");
            executor.write(id, &params).unwrap();
            let (rows_of, mut found) = (4 * w, Vec::new());
            // A picture of other values before it leaves nothing behind.
            for picture in [vec![0.7; values.len()], values.clone()] {
                found.clear();
                for start in (0..h + lag).step_by(rows) {
                    let strip = &picture[(start * rows_of).min(picture.len())..((start + rows) * rows_of).min(picture.len())];
                    executor.write(x, strip).unwrap();
                    executor.write_ints(control, &[start as u32, h as u32]).unwrap();
                    executor.run().unwrap();
                    found.extend_from_slice(&executor.read(y).unwrap()[first * rows_of..(first + rows) * rows_of]);
                }
            }
            let found = &found[lag * rows_of..][..expected.len()];
            let scale = expected.iter().fold(0.0f32, |a, v| a.max(v.abs()));
            let worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            // Sums are the same; only blocks of columns may be added up in another order.
            assert!(worst <= 1e-5 * scale, "{} in strips of {rows} rows, {lag} behind: {worst} of {scale}", options.name());
        }
    }
    let normed = NetOptions::unet(8, 1, Norm::Group);
    let mut g = Graph::new();
    let x = g.host_picture("x", [1, 8, 8], 3);
    let y = normed.record(&mut g, x);
    assert!(g.in_strips(x, y, 2).is_none(), "a group normalisation sees the whole picture");
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
        assert!(shares.is_sorted() && shares.len() > 6 && shares.last() == Some(&1.0), "{shares:?}");
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
        // The published networks too: strips take little, however far a pixel sees.
        for levels in [4, 5] {
            Denoiser::with_params(&device, of(levels), Vec::new(), None).unwrap();
        }
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
