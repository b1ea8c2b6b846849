//! State dicts of `PyTorch` become models that denoise as `PyTorch` does; what does not fit is named.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use n2n_gpu::denoise::Denoiser;
use n2n_gpu::device::Device;
use n2n_gpu::nets::import::import;
use n2n_gpu::nets::{Anatomy, Entry, Model, Statistics};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Map, Value, json};

/// What `tests/golden/make_import.py` wrote: at width 12, or larger where `N2N_IMPORT_DATA` says.
fn data() -> PathBuf {
    std::env::var_os("N2N_IMPORT_DATA").map_or_else(|| "tests/golden/import".into(), PathBuf::from)
}

const NETS: [&str; 5] = ["epfl-unet", "epfl-resunet", "n2n-unet", "unet", "epfl-convnet"];

fn load(path: &Path, net: &str) -> n2n_gpu::error::Result<Model> {
    // All that a file cannot tell.
    let given: Map<String, Value> =
        if net == "unet" { [("residual".into(), json!(false))].into_iter().collect() } else { Map::new() };
    import(path, Entry::find(net).unwrap(), &given, Some(Statistics { mean: 0.5, deviation: 0.25 }))
}

fn model(net: &str) -> Model {
    load(&data().join(format!("{net}.pth")), net).unwrap()
}

/// As the published weights must: within 0.01 grey levels before rounding, also where sizes do not divide by 32. Networks are
/// about fifty layers deep at most and round to some 1e-6 of 255 in all.
#[test]
fn imported_networks_denoise_as_pytorch_does() {
    let bytes = std::fs::read(data().join("expected.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&bytes).unwrap();
    for device in std::iter::once(Device::Cpu).chain(common::adapters()) {
        for net in NETS {
            let name = net;
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
fn options_are_those_of_the_file() {
    let [epfl, resunet, n2n, unet, _] = NETS.map(|net| model(net).network.options());
    assert!(epfl["shared"] == true && resunet["shared"] == false && resunet["down"] == "maxpool");
    assert!([&epfl, &resunet, &n2n, &unet].iter().all(|o| o["width"] == epfl["width"] && o["width"].as_u64().unwrap() % 12 == 0));
    // The file is one of two levels with `BatchNorm`.
    let wanted = [("levels", json!(2)), ("norm", json!("batch")), ("down", json!("conv")), ("up", json!("convt"))];
    assert!(wanted.iter().all(|(name, value)| unet[*name] == *value), "{unet:?}");
    assert_eq!(Anatomy::of(model("epfl-unet").network.as_ref()).graph.params().len(), 36);
}

#[test]
fn what_a_file_does_not_tell_must_be_said() {
    let of =
        |net: &str, statistics| import(&data().join(format!("{net}.pth")), Entry::find(net).unwrap(), &Map::new(), statistics);
    let message = of("unet", None).unwrap_err().to_string();
    assert!(message.contains("residual"), "{message}");
    let message = of("epfl-convnet", None).unwrap_err().to_string();
    assert!(message.contains("mean"), "{message}");
}

type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

/// The U-Net's tensors without prefix, changed, as a safetensors file.
fn changed(folder: &Path, change: impl Fn(&mut Tensors)) -> PathBuf {
    let path = folder.join("model.safetensors");
    model("epfl-unet").save(&path).unwrap();
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
    let first = model("epfl-unet");
    for prefix in ["", "net.", "module.unet."] {
        let path = changed(folder.path(), |tensors| {
            *tensors = std::mem::take(tensors).into_iter().map(|(name, t)| (format!("{prefix}{name}"), t)).collect();
        });
        let second = load(&path, "epfl-unet").unwrap();
        assert!(first.params == second.params && first.ranges == second.ranges, "prefix {prefix:?}");
        assert_eq!(first.network.options(), second.network.options());
    }
    let [a, b] = ["a", "b"].map(|name| {
        let path = folder.path().join(name);
        model("epfl-unet").save(&path).unwrap();
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
        let message = load(&path, "epfl-unet").unwrap_err().to_string();
        assert!(words.iter().all(|w| message.contains(w)) && message.contains("changed.safetensors"), "{message}");
    };
    fails(&|t| drop(t.remove(name)), &[name, "missing"]);
    fails(&|t| drop(t.insert("_block7.weight".into(), (Dtype::F32, vec![1], vec![0; 4]))), &["_block7.weight", "not part"]);
    fails(&|t| t.get_mut(name).unwrap().1.reverse(), &[name, "shape"]);
    fails(&|t| t.get_mut(name).unwrap().0 = Dtype::I32, &[name, "int32"]);
    fails(&|t| t.get_mut(name).unwrap().2[..4].copy_from_slice(&f32::NAN.to_le_bytes()), &[name, "not finite"]);
    // The tensors of another network.
    let path = data().join("epfl-unet.pth");
    let message = load(&path, "n2n-unet").unwrap_err().to_string();
    assert!(message.contains("enc.0.weight") && message.contains("missing"), "{message}");
}

#[test]
fn another_width_than_that_of_the_file_is_refused() {
    let given: Map<String, Value> = [("width".into(), json!(24))].into_iter().collect();
    let file = data().join("epfl-unet.pth");
    let message = import(&file, Entry::find("epfl-unet").unwrap(), &given, None).unwrap_err().to_string();
    assert!(message.starts_with("width: 24") && message.contains("epfl-unet.pth has width"), "{message}");
}
