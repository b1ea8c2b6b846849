//! The networks of Open Image Denoise have its layers, so that it runs what is trained here.

use std::sync::Arc;

use n2n_gpu::cpu;
use n2n_gpu::data::picture::Rgb8;
use n2n_gpu::denoise::Denoiser;
use n2n_gpu::device::Device;
use n2n_gpu::graph::Graph;
use n2n_gpu::nets::{Anatomy, Init, Model, Modules, Network, OidnUnet, OidnUnetSmall, Ranges, Transfer, initial};
use n2n_gpu::ops::random_normals;
use n2n_gpu::plan::{Executor, Plan};
use n2n_gpu::train::Source;

const NAMES: [&str; 16] = [
    "enc_conv0",
    "enc_conv1",
    "enc_conv2",
    "enc_conv3",
    "enc_conv4",
    "enc_conv5a",
    "enc_conv5b",
    "dec_conv4a",
    "dec_conv4b",
    "dec_conv3a",
    "dec_conv3b",
    "dec_conv2a",
    "dec_conv2b",
    "dec_conv1a",
    "dec_conv1b",
    "dec_conv0",
];

/// (input, output) channels of every layer for `i` channels of the picture, as `training/model.py` of version 2.4 has them.
fn layers(small: bool, i: usize) -> [(usize, usize); 16] {
    if small {
        [
            (i, 32),
            (32, 32),
            (32, 32),
            (32, 32),
            (32, 32),
            (32, 32),
            (32, 32),
            (64, 64),
            (64, 64),
            (96, 64),
            (64, 64),
            (96, 64),
            (64, 32),
            (32 + i, 32),
            (32, 32),
            (32, 3),
        ]
    } else {
        [
            (i, 32),
            (32, 32),
            (32, 48),
            (48, 64),
            (64, 80),
            (80, 96),
            (96, 96),
            (160, 112),
            (112, 112),
            (160, 96),
            (96, 96),
            (128, 64),
            (64, 64),
            (64 + i, 64),
            (64, 32),
            (32, 3),
        ]
    }
}

#[test]
fn parameters_are_those_of_open_image_denoise() {
    for inputs in [3, 6, 9] {
        for (small, network) in
            [(false, &OidnUnet { inputs, hdr: false } as &dyn Network), (true, &OidnUnetSmall { inputs, hdr: true })]
        {
            let Anatomy { graph, multiple, .. } = Anatomy::of(network);
            assert_eq!(multiple, 16);
            let found: Vec<_> = graph.params().iter().map(|p| (p.name.clone(), p.layout.file_shape())).collect();
            let wanted = NAMES.into_iter().zip(layers(small, inputs)).flat_map(|(name, (from, to))| {
                [(format!("{name}.weight"), vec![to, from, 3, 3]), (format!("{name}.bias"), vec![to])]
            });
            assert_eq!(found, wanted.collect::<Vec<_>>(), "{} of {inputs} channels", network.name());
        }
    }
}

/// The least value of its output for noise, with the parameters that training starts from.
fn least(training: bool) -> f32 {
    let mut g = Graph::new();
    let x = g.host_picture("x", [1, 32, 32], 3);
    let y = OidnUnetSmall::default().record(&mut Modules::new(&mut g, training), x);
    let y = g.output("y", y);
    let (params, [x, y]) = (g.params_storage().unwrap(), [x, y].map(|t| g.view(t).storage));
    let values = initial(&g, Init::He, 1).unwrap();
    let mut executor = cpu::Executor::<f32>::new(Plan::new(g, None).unwrap());
    executor.write(params, &values).unwrap();
    let noise: Vec<f32> = random_normals(1, 0).take(32 * 32 * 4).map(|z| z as f32).collect();
    executor.write(x, &noise).unwrap();
    executor.run().unwrap();
    let pixels = executor.read(y).unwrap();
    pixels.chunks(4).flat_map(|pixel| &pixel[..3]).copied().fold(f32::INFINITY, f32::min)
}

#[test]
fn negative_results_are_cut_off_but_not_in_training() {
    assert_eq!(least(false), 0.0);
    assert!(least(true) < 0.0);
}

/// Denoises 32x32 pixels by a network with the parameters that training starts from.
fn denoised(hdr: bool, values: &[f32]) -> Vec<f32> {
    let network = Arc::new(OidnUnetSmall { inputs: 3, hdr });
    let params = initial(&Anatomy::of(network.as_ref()).graph, Init::He, 1).unwrap();
    let ranges = Ranges { input: [0.0, 1.0], output: [0.0, 1.0] };
    let model = Model::new(network, ranges, String::new(), 0, params);
    Denoiser::new(&Device::Cpu, &model, None).unwrap().denoise(values, 32, 32).unwrap()
}

/// Linear values of any size are brought to the network's curve, and its results back.
#[test]
fn hdr_is_the_same_network_on_another_curve() {
    let values: Vec<f32> = random_normals(2, 0).take(32 * 32 * 3).map(|z| (2.0 * z).exp() as f32 - 0.1).collect();
    assert!(values.iter().any(|v| *v > 100.0) && values.iter().any(|v| *v < 0.0));
    let curve: Vec<f32> = values.iter().map(|&v| Transfer::Pu.forward(v)).collect();
    let wanted: Vec<f32> = denoised(false, &curve).into_iter().map(|v| Transfer::Pu.inverse(v)).collect();
    let hdr = denoised(true, &values);
    assert!(hdr == wanted && hdr.iter().any(|v| *v > 0.0));
}

#[test]
fn networks_of_no_photographs_are_not_trained_on_them() {
    let grey = || Rgb8 { name: "grey".into(), width: 32, height: 32, data: vec![128; 32 * 32 * 3] };
    let photos = Source::photos(vec![grey()], "gaussian:25".parse().unwrap());
    let message = |network: &dyn Network| photos.check_network(network).unwrap_err().to_string();
    assert!(message(&OidnUnet { inputs: 3, hdr: true }).contains("linear values"));
    assert!(message(&OidnUnet { inputs: 6, hdr: false }).contains("noise is added to photographs"));
    assert!(photos.check_network(&OidnUnet::default()).is_ok());
}
