//! Tiles and strips give the same picture as one pass. On the CPU it is the same to the last bit where convolutions are
//! computed directly: every sum has its terms in the same order, wherever a pixel lies. An adapter may choose another kernel for
//! another shape, which adds them in another order.

mod common;

use std::sync::Arc;

use n2n_gpu::data::picture::Picture;
use n2n_gpu::denoise::Denoiser;
use n2n_gpu::device::Device;
use n2n_gpu::error::Error;
use n2n_gpu::gpu::Gpu;
use n2n_gpu::graph::{Graph, ParamLayout, Precision, Tensor};
use n2n_gpu::nets::{
    Anatomy, BUILT_IN, Down, EpflConvnet, EpflUnet, Init, Modules, N2nUnet, Network, Norm, Ranges, Statistics, Unet, Up, initial,
};
use n2n_gpu::ops::{Activation, Conv, Strips, random_normals};

/// What a value near 1 may differ by where a sum of 144 terms, nine pixels of 16 channels, is added up in another order: half a
/// unit in the last place for each. The networks here that run on adapters have no more.
const REORDERED: f32 = 144.0 * f32::EPSILON / 2.0;

/// The same where tiles of Winograd's convolution lie elsewhere in the picture: its transforms make the mean
/// square of rounding errors three times as large as a plain sum's, and the largest of many is twice as far out.
const RETILED: f32 = 4.0 * REORDERED;

/// How far two pictures are apart at most, relative to the larger of 1 and their largest value.
fn apart(found: &[f32], expected: &[f32]) -> f32 {
    let largest = expected.iter().fold(1.0_f32, |largest, x| largest.max(x.abs()));
    found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest
}

/// A network with its ranges, and fresh parameters.
fn network(network: impl Network + 'static, seed: u32) -> ((Arc<dyn Network>, Ranges), Vec<f32>) {
    let params = initial(&Anatomy::of(&network).graph, Init::He, seed).unwrap();
    let ranges = network.values().ranges(|| Statistics { mean: 0.5, deviation: 0.2 });
    ((Arc::new(network), ranges), params)
}

#[test]
fn tiles_give_the_same_picture_as_one_pass() {
    let (width, height) = (61, 85);
    let picture: Vec<f32> = (0..width * height * 3).map(|i| 0.5 + 0.4 * (i as f32 * 0.37).sin()).collect();
    // Software adapters are slow: one level there shows it.
    for (levels, adapters) in [(1, common::adapters()), (2, Vec::new())] {
        let (net, params) = network(Unet::new(4, levels, Norm::None), 1);
        let least = |device: &Device| {
            let message = Denoiser::with_params(device, net.clone(), params.clone(), Some(1)).unwrap_err().to_string();
            message.split(' ').find_map(|word| word.parse::<usize>().ok()).expect("the message names the smallest tile")
        };
        for device in std::iter::once(Device::Cpu).chain(adapters) {
            let tile = least(&device);
            assert!(tile < height, "the picture fits one tile of {tile} pixels");
            let [whole, tiles] = [None, Some(tile)].map(|tile| {
                let mut denoiser = Denoiser::with_params(&device, net.clone(), params.clone(), tile).unwrap();
                denoiser.denoise(&picture, width, height).unwrap()
            });
            let worst = apart(&tiles, &whole);
            assert!(worst <= RETILED, "{}, {levels} levels, tiles of {tile} pixels: {worst}", device.name());
        }
    }
}

#[test]
fn a_buffer_that_is_no_picture_of_the_size_is_refused() {
    let (net, params) = network(Unet::new(4, 1, Norm::None), 1);
    let mut denoiser = Denoiser::with_params(&Device::Cpu, net, params, None).unwrap();
    for (len, width, height) in [(0, 0, 0), (299, 10, 10), (301, 10, 10), (100, 10, 10), (300, 0, 10), (300, usize::MAX, 2)] {
        let refused = denoiser.denoise(&vec![0.5; len], width, height);
        let Err(Error::Data(message)) = refused else { panic!("{len} values for {width}x{height}: {refused:?}") };
        assert!(message.contains(&len.to_string()), "{message}");
    }
    assert_eq!(denoiser.denoise(&[0.5; 300], 10, 10).unwrap().len(), 300);
}

#[test]
fn seams_of_no_network_are_seen() {
    let nets = [
        network(Unet { residual: true, ..Unet::new(4, 2, Norm::Batch) }, 2),
        network(Unet { down: Down::Maxpool, up: Up::Nearest, ..Unet::new(4, 2, Norm::None) }, 2),
        network(N2nUnet { width: 3, ..N2nUnet::default() }, 2),
        network(EpflConvnet::default(), 2),
    ];
    for (net, params) in nets {
        let with = |tile| Denoiser::with_params(&Device::Cpu, net.clone(), params.clone(), tile);
        let message = with(Some(1)).unwrap_err().to_string();
        let tile: usize = message.split(' ').find_map(|word| word.parse().ok()).expect("the message names the smallest tile");
        // High enough for strips: low pictures are cut into tiles of their height.
        for (width, height) in [(tile + 19, tile + 37), (2 * tile + 5, 21)] {
            let picture: Vec<f32> = random_normals(4, 0).take(width * height * 3).map(|z| 0.5 + 0.2 * z as f32).collect();
            let [whole, cut] = [None, Some(tile)].map(|tile| with(tile).unwrap().denoise(&picture, width, height).unwrap());
            let (worst, name) = (apart(&cut, &whole), net.0.name());
            assert!(worst <= RETILED, "{name}, {width}x{height} in pieces of {tile} columns: {worst}");
        }
    }
}

/// The graph from x to y for a whole picture, and in strips of several heights, gives the same within `most`.
fn assert_strips_equal(name: &str, g: &Graph, [x, y]: [Tensor; 2], all_rows: &[usize], most: f32) {
    let ([_, h, w], channels) = (g.view(x).shape, g.view(y).padded());
    let mut numbers = random_normals(9, 1).map(|z| z as f32);
    let params: Vec<f32> = g.params_storage().map_or(Vec::new(), |_| initial(g, Init::He, 3).unwrap());
    let values: Vec<f32> = (0..4 * h * w).map(|i| if i % 4 < 3 { numbers.next().unwrap_or(0.0) } else { 0.0 }).collect();
    let prepare = |graph: Graph| {
        let mut executor = Device::Cpu.prepare(graph).unwrap();
        if !params.is_empty() {
            let id = executor.plan().graph.params_storage().unwrap();
            executor.write(id, &params).unwrap();
        }
        executor
    };
    let mut whole = g.clone();
    let result = whole.output("y", y);
    let [from, to] = [x, result].map(|t| whole.view(t).storage);
    let mut whole = prepare(whole);
    whole.write(from, &values).unwrap();
    whole.run().unwrap();
    let expected = whole.read(to).unwrap();
    for &rows in all_rows {
        let Strips { graph, x, control, y, first, lag } = g.in_strips(x, y, rows).expect("the graph runs in strips");
        let mut executor = prepare(graph);
        let (row, mut found) = (channels * w, Vec::new());
        // A picture of other values before it leaves nothing behind.
        for picture in [vec![0.7; values.len()], values.clone()] {
            found.clear();
            for start in (0..h + lag).step_by(rows) {
                let place = |row: usize| (row * 4 * w).min(picture.len());
                executor.write(x, &picture[place(start)..place(start + rows)]).unwrap();
                executor.write_ints(control, &[start as u32, h as u32]).unwrap();
                executor.run().unwrap();
                found.extend_from_slice(&executor.read(y).unwrap()[first * row..(first + rows) * row]);
            }
        }
        let found = &found[lag * row..][..expected.len()];
        let worst = apart(found, &expected);
        assert!(worst <= most, "{name} in strips of {rows} rows, {lag} behind: {worst}");
    }
}

#[test]
fn every_network_gives_in_strips_what_it_gives_in_one_pass() {
    let nets: [&dyn Network; 5] = [
        &Unet { residual: true, ..Unet::new(4, 2, Norm::Batch) },
        &Unet { down: Down::Maxpool, up: Up::Nearest, ..Unet::new(4, 3, Norm::None) },
        &EpflUnet { width: 4, ..EpflUnet::default() },
        &N2nUnet { width: 4, ..N2nUnet::default() },
        &EpflConvnet::default(),
    ];
    for network in nets {
        let multiple = Anatomy::of(network).multiple;
        let mut g = Graph::new();
        let x = g.host_picture("x", [1, 6 * multiple, 2 * multiple], 3);
        let y = network.record(&mut Modules::new(&mut g, false), x);
        assert_strips_equal(network.name(), &g, [x, y], &[multiple, 2 * multiple, 5 * multiple], RETILED);
    }
    let mut g = Graph::new();
    let x = g.host_picture("x", [1, 8, 8], 3);
    let y = Unet::new(8, 1, Norm::Group).record(&mut Modules::new(&mut g, false), x);
    assert!(g.in_strips(x, y, 2).is_none(), "a group normalisation sees the whole picture");
}

#[test]
fn convolutions_of_any_window_give_in_strips_what_they_give_in_one_pass() {
    let window = |kernel, stride, padding| Conv { kernel, stride, padding };
    // Down by the first, and up again by the second; one after the other, so that one's lag is the other's input.
    for (down, up) in [
        (window(1, 1, 0), window(1, 1, 0)),
        (window(5, 1, 2), window(3, 1, 1)),
        (window(7, 1, 3), window(5, 1, 2)),
        (window(3, 2, 1), window(3, 2, 1)),
        (window(2, 2, 0), window(2, 2, 0)),
        (window(4, 2, 1), window(4, 2, 1)),
        (window(5, 2, 2), window(5, 2, 2)),
        (window(3, 3, 0), window(3, 3, 0)),
        (window(7, 3, 2), window(5, 3, 1)),
    ] {
        let mut g = Graph::new();
        let x = g.host_picture("x", [1, 36, 18], 3);
        let param = |g: &mut Graph, name: &str, layout| g.param(name, layout);
        let w0 = param(&mut g, "0", ParamLayout::Conv { k: down.kernel, input: vec![3], output: 4 });
        let y = g.conv2d(x, w0, None, down, Activation::leaky_relu(0.1));
        let w1 = param(&mut g, "1", ParamLayout::ConvTranspose { k: up.kernel, input: vec![4], output: 4 });
        let b1 = param(&mut g, "b", ParamLayout::Vector(4));
        // What is missing to a multiple of the stride.
        let output_padding = up.stride + 2 * up.padding - up.kernel;
        let y = g.conv_transpose2d(y, [w1, b1], up, output_padding, Activation::NONE);
        let w2 = param(&mut g, "2", ParamLayout::Conv { k: 3, input: vec![4], output: 5 });
        let z = g.conv2d(y, w2, None, Conv::same3(1), Activation::NONE);
        let z = g.concat(&[z, x]);
        let scale = down.stride;
        // Too few channels for Winograd's way: to the same bits.
        assert_strips_equal(&format!("{down:?} and {up:?}"), &g, [x, z], &[scale, 4 * scale, 36], 0.0);
    }
    // One that makes pictures smaller by more than its stride does not.
    let mut g = Graph::new();
    let x = g.host_picture("x", [1, 12, 12], 3);
    let w = g.param("w", ParamLayout::Conv { k: 3, input: vec![3], output: 4 });
    let y = g.conv2d(x, w, None, window(3, 1, 0), Activation::NONE);
    assert!(g.in_strips(x, y, 4).is_none());
}

/// A photo of waves as a file would give it, and a denoiser with the smallest tiles for it.
fn photo_in_tiles(params: impl Fn(Vec<f32>) -> Vec<f32>) -> (Picture, Denoiser, Denoiser) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("photo.png");
    let rgb: Vec<u8> = (0..150 * 101 * 3).map(|i| (128.0 + 100.0 * (f64::from(i) * 0.37).sin()) as u8).collect();
    Picture::from_rgb8(150, 101, &rgb).save(&path).unwrap();
    let (net, fresh) = network(Unet::new(4, 1, Norm::None), 1);
    let params = params(fresh);
    let denoiser = |tile| Denoiser::with_params(&Device::Cpu, net.clone(), params.clone(), tile).unwrap();
    (Picture::load(&path).unwrap(), denoiser(Some(48)), denoiser(None))
}

#[test]
fn a_photo_is_denoised_as_its_values_are_and_progress_rises_to_1() {
    let (photo, mut tiles, mut whole) = photo_in_tiles(|params| params);
    let pixels = 150 * 101;
    let values: Vec<f32> = (0..pixels).flat_map(|i| photo.rgb(i)).collect();
    let expected = whole.denoise(&values, 150, 101).unwrap();
    for strength in [1.0, 0.25] {
        let mut shares = vec![0.0];
        let denoised = tiles.denoise_picture(&photo, strength, |share| shares.push(share)).unwrap();
        assert!(shares.is_sorted() && shares.len() > 6 && shares.last() == Some(&1.0), "{shares:?}");
        for (i, value) in (0..pixels).flat_map(|i| denoised.rgb(i)).enumerate() {
            let expected = (values[i] + strength * (expected[i] - values[i])).clamp(0.0, 1.0);
            // Half a level of rounding, and that of the division by 255.
            assert!((value - expected).abs() <= 0.5 / 255.0 + f32::EPSILON, "value {i} is {value}, not {expected}");
        }
    }
}

#[test]
fn the_first_tile_that_is_not_finite_ends_the_photo_but_not_the_denoiser() {
    let (photo, mut broken, mut whole) = photo_in_tiles(|params| vec![f32::NAN; params.len()]);
    let mut calls = 0;
    let message = broken.denoise_picture(&photo, 1.0, |_| calls += 1).unwrap_err().to_string();
    assert!(message.contains("not finite") && calls == 0, "{message} after {calls} rows");
    assert!(whole.denoise_picture(&photo, 1.0, |_| ()).is_err());
    let (_, mut fine, _) = photo_in_tiles(|params| params);
    let expected = fine.denoise_picture(&photo, 1.0, |_| ()).unwrap();
    broken.set_params(network(Unet::new(4, 1, Norm::None), 1).1).unwrap();
    let denoised = broken.denoise_picture(&photo, 1.0, |_| ()).unwrap();
    assert!((0..150 * 101).all(|i| denoised.rgb(i) == expected.rgb(i)));
}

#[test]
fn the_default_network_fits_the_least_of_devices_and_a_larger_one_says_what_to_do() {
    for mut gpu in common::gpus() {
        gpu.adapter.limits = n2n_gpu::limits::Limits::default();
        let device = Device::Gpu(gpu);
        let of = |levels| network(Unet::new(48, levels, Norm::None), 1).0;
        // The published networks too: strips take little, however far a pixel sees.
        for levels in [4, 5] {
            Denoiser::with_params(&device, of(levels), Vec::new(), None).unwrap();
        }
        let message = Denoiser::with_params(&device, of(8), Vec::new(), None).unwrap_err().to_string();
        assert!(message.contains("binds 128 MiB") && message.contains("use the CPU"), "{message}");
    }
}

#[test]
fn tiles_are_smaller_where_memory_is_short() {
    let (net, params) = network(Unet::new(8, 1, Norm::None), 3);
    let (width, height) = (210, 190);
    let picture: Vec<f32> = random_normals(5, 0).take(width * height * 3).map(|z| 0.5 + 0.2 * z as f32).collect();
    let expected =
        Denoiser::with_params(&Device::Cpu, net.clone(), params.clone(), None).unwrap().denoise(&picture, width, height).unwrap();
    for index in 0..common::gpus().len() {
        let mut gpu = Gpu::open_with(index, |l| (l.buffer_bytes, l.binding_bytes) = (1 << 20, 1 << 20)).unwrap();
        // The planner is told that there is more than the device gives.
        gpu.adapter.limits = n2n_gpu::limits::Limits { invocations: gpu.adapter.limits.invocations, ..Default::default() };
        let mut denoiser = Denoiser::with_params(&Device::Gpu(gpu), net.clone(), params.clone(), None).unwrap();
        let found = denoiser.denoise(&picture, width, height).unwrap();
        let worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst <= REORDERED, "{worst}");
    }
}

#[test]
fn half_precision_between_layers_shows_by_a_grey_level_at_most() {
    let (width, height) = (96, 64);
    let noise: Vec<f32> = random_normals(6, 0).take(width * height * 3).map(|z| 0.1 * z as f32).collect();
    for builtin in BUILT_IN {
        let model = builtin.load().unwrap();
        let [low, high] = model.ranges.input;
        let picture = (0..width * height).flat_map(|i| {
            let value = |c: usize| 0.5 + 0.3 * ((i % width) as f32 * 0.2 + c as f32).sin() + noise[3 * i + c];
            [value(0), value(1), value(2), 0.0].map(|v| low + (high - low) * v.clamp(0.0, 1.0))
        });
        let picture: Vec<f32> = picture.collect();
        let [single, half] = [Precision::F32, Precision::F16].map(|precision| {
            let (mut g, x, y) = model.network.forward([1, height, width], 3);
            g.set_precision(precision);
            let y = g.output("y", y);
            let (x, y, params) = (g.view(x).storage, g.view(y).storage, g.params_storage().expect("a network has parameters"));
            let mut executor = Device::Cpu.prepare(g).unwrap();
            executor.write(params, &model.params).unwrap();
            executor.write(x, &picture).unwrap();
            executor.run().unwrap();
            executor.read(y).unwrap()
        });
        let [black, white] = model.ranges.output;
        let worst = single.iter().zip(&half).map(|(a, b)| 255.0 * (a - b).abs() / (white - black)).fold(0.0, f32::max);
        assert!(worst > 0.0 && worst < 1.0, "{}: {worst} grey levels", builtin.name);
    }
}
