//! State dicts of `PyTorch` become models that denoise as `PyTorch` does; what does not fit is named.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use n2n_gpu::denoise::Denoiser;
use n2n_gpu::device::Device;
use n2n_gpu::nets::import::import;
use n2n_gpu::nets::{Model, Net, NetOptions, Norm};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

/// What `tests/golden/make_import.py` wrote: at width 12, or larger where `N2N_IMPORT_DATA` says.
fn data() -> PathBuf {
    std::env::var_os("N2N_IMPORT_DATA").map_or_else(|| "tests/golden/import".into(), PathBuf::from)
}

const NETS: [Net; 5] = [Net::EpflUnet, Net::EpflResunet, Net::N2nUnet, Net::Unet, Net::EpflConvnet];

/// Of `unet` the file is one of two levels with `BatchNorm`.
fn options(net: Net) -> NetOptions {
    match net {
        Net::Unet => NetOptions { levels: 2, norm: Norm::Batch, ..NetOptions::new(net) },
        _ => NetOptions::new(net),
    }
}

fn model(net: Net) -> Model {
    let options = options(net);
    import(&data().join(format!("{}.pth", options.name())), options, (0.5, 0.25)).unwrap()
}

/// As the published weights must: within 0.01 grey levels before rounding, also where sizes do not divide by 32. Networks are
/// about fifty layers deep at most and round to some 1e-6 of 255 in all.
#[test]
fn imported_networks_denoise_as_pytorch_does() {
    let bytes = std::fs::read(data().join("expected.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&bytes).unwrap();
    for device in std::iter::once(Device::Cpu).chain(common::adapters()) {
        for net in NETS {
            let name = options(net).name();
            let mut denoiser = Denoiser::new(&device, &model(net), None).unwrap();
            for size in ["64x96", "45x37"] {
                let input = expected.tensor(&format!("{name}/{size}/input")).unwrap();
                let rgb: Vec<f32> = input.data().iter().map(|&b| f32::from(b) / 255.0).collect();
                let output = expected.tensor(&format!("{name}/{size}/output")).unwrap();
                let output: Vec<f32> = bytemuck::pod_collect_to_vec(output.data());
                let ours = denoiser.denoise(&rgb, input.shape()[1], input.shape()[0]).unwrap();
                let worst = ours.iter().zip(&output).map(|(a, b)| (255.0 * a - b).abs()).fold(0.0, f32::max);
                assert!(worst <= 0.01, "{name} at {size} on {}: {worst} grey levels off", device.name());
            }
        }
    }
}

#[test]
fn width_and_shared_blocks_are_those_of_the_file() {
    let [unet, resunet, n2n, ..] = NETS.map(|net| model(net).metadata.options);
    assert!(unet.shared && !resunet.shared && !n2n.shared);
    assert!([unet, resunet, n2n].iter().all(|o| o.width == unet.width && o.width.is_multiple_of(12)));
    assert_eq!(unet.skeleton().params().len(), 36);
}

type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

/// The U-Net's tensors without prefix, changed, as a safetensors file.
fn changed(folder: &Path, change: impl Fn(&mut Tensors)) -> PathBuf {
    let path = folder.join("model.safetensors");
    model(Net::EpflUnet).save(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors: Tensors =
        file.tensors().into_iter().map(|(name, t)| (name, (t.dtype(), t.shape().to_vec(), t.data().to_vec()))).collect();
    change(&mut tensors);
    let views = tensors.iter().map(|(name, (dtype, shape, data))| (name, TensorView::new(*dtype, shape.clone(), data).unwrap()));
    let path = folder.join("changed.safetensors");
    std::fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
    path
}

#[test]
fn a_model_comes_back_the_same_with_any_prefix_or_none() {
    let folder = tempfile::tempdir().unwrap();
    let first = model(Net::EpflUnet);
    for prefix in ["", "net.", "module.unet."] {
        let path = changed(folder.path(), |tensors| {
            *tensors = std::mem::take(tensors).into_iter().map(|(name, t)| (format!("{prefix}{name}"), t)).collect();
        });
        let second = import(&path, NetOptions::new(Net::EpflUnet), (0.5, 0.25)).unwrap();
        assert!(first.params == second.params && first.metadata == second.metadata, "prefix {prefix:?}");
    }
    let [a, b] = ["a", "b"].map(|name| {
        let path = folder.path().join(name);
        model(Net::EpflUnet).save(&path).unwrap();
        std::fs::read(path).unwrap()
    });
    assert!(a == b, "the same bytes each time");
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let name = "_block5.2.weight";
    let fails = |change: &dyn Fn(&mut Tensors), words: &[&str]| {
        let path = changed(folder.path(), change);
        let message = import(&path, NetOptions::new(Net::EpflUnet), (0.5, 0.25)).unwrap_err().to_string();
        assert!(words.iter().all(|w| message.contains(w)) && message.contains("changed.safetensors"), "{message}");
    };
    fails(&|t| drop(t.remove(name)), &[name, "missing"]);
    fails(&|t| drop(t.insert("_block7.weight".into(), (Dtype::F32, vec![1], vec![0; 4]))), &["_block7.weight", "not part"]);
    fails(&|t| t.get_mut(name).unwrap().1.reverse(), &[name, "shape"]);
    fails(&|t| t.get_mut(name).unwrap().0 = Dtype::I32, &[name, "int32"]);
    fails(&|t| t.get_mut(name).unwrap().2[..4].copy_from_slice(&f32::NAN.to_le_bytes()), &[name, "not finite"]);
    // The tensors of another network.
    let path = data().join("epfl-unet.pth");
    let message = import(&path, NetOptions::new(Net::N2nUnet), (0.5, 0.25)).unwrap_err().to_string();
    assert!(message.contains("enc.0.weight") && message.contains("missing"), "{message}");
}
