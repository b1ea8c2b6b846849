//! `n2n-gpu export` and `n2n-gpu info`.

use std::fs;
use std::io::{Cursor, Read};
use std::path::Path;

use crate::cli::{Shell, TINY};
use n2n_gpu::data::npy::load_npy;
use n2n_gpu::export::onnx::proto::ModelProto;
use prost::Message;
use serde_json::Value;
use sha2::{Digest, Sha256};
use zip::ZipArchive;

/// What an archive holds, in order.
fn unpack(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut zip = ZipArchive::new(Cursor::new(bytes)).unwrap();
    let mut files = Vec::new();
    for i in 0..zip.len() {
        let mut entry = zip.by_index(i).unwrap();
        let name = entry.name().unwrap().into_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        files.push((name, bytes));
    }
    files
}

/// Sizes of the input of an ONNX file.
fn input(bytes: &[u8]) -> Vec<Option<i64>> {
    let graph = ModelProto::decode(bytes).unwrap().graph.unwrap();
    let tensor = graph.input[0].r#type.clone().unwrap().tensor_type.unwrap();
    tensor.shape.unwrap().dim.iter().map(|d| d.dim_value).collect()
}

#[test]
fn one_call_writes_files_for_several_programs() {
    let shell = Shell::new();
    let model = shell.model();
    let line = format!("export {model} --onnx a.onnx --darktable b.dtmodel --bioimage c.zip --author A --license CC0-1.0 --json");
    let json = shell.run(&line).succeeds().json("net files");
    assert_eq!(json["net"], "unet");
    for (file, name) in json["files"].as_array().unwrap().iter().zip(["a.onnx", "b.dtmodel", "c.zip"]) {
        assert_eq!(
            (file["path"].as_str(), file["bytes"].as_u64()),
            (Some(name), Some(shell.path(name).metadata().unwrap().len()))
        );
    }
    assert_eq!(input(&fs::read(shell.path("a.onnx")).unwrap()), [None, Some(3), None, None]);
    shell.run(&format!("export {model} --onnx a.onnx --size 32 --force")).succeeds();
    assert_eq!(input(&fs::read(shell.path("a.onnx")).unwrap()), [1, 3, 32, 32].map(Some));
}

#[test]
fn a_package_for_darktable_has_what_it_asks_for() {
    let shell = Shell::new();
    let model = shell.model();
    shell.run(&format!("export {model} --darktable a.dtmodel --license CC0-1.0")).succeeds();
    let files = unpack(&fs::read(shell.path("a.dtmodel")).unwrap());
    // Called after the run's folder.
    assert_eq!(
        files.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["n2n-model/config.json", "n2n-model/model.onnx"]
    );
    let config: Value = serde_json::from_slice(&files[0].1).unwrap();
    assert_eq!((&config["id"], &config["task"], &config["backend"]), (&"n2n-model".into(), &"denoise".into(), &"onnx".into()));
    assert_eq!(config["attributes"]["input_sizes"], serde_json::json!([768]));
    assert_eq!(config["model_card"]["license"], "CC0-1.0");
    assert!(config["model_card"]["training_data"].as_str().unwrap().starts_with("1 scene, with noise of the kind gaussian:25"));
    assert_eq!(input(&files[1].1), [1, 3, 768, 768].map(Some));

    shell.run(&format!("export {model} --darktable a.dtmodel --id my-camera --size 256 -f")).succeeds();
    let files = unpack(&fs::read(shell.path("a.dtmodel")).unwrap());
    assert_eq!((files[0].0.as_str(), input(&files[1].1)), ("my-camera/config.json", [1, 3, 256, 256].map(Some).to_vec()));
    for (options, names) in [
        ("--size 128", ["--size 128", "overlap"]),
        ("--size 255", ["--size 255", "multiple of 2"]),
        ("--id ../up", ["--id", "small letters"]),
        ("--id .", ["--id", "small letters"]),
    ] {
        shell.run(&format!("export {model} --darktable new.dtmodel {options}")).is_misused(&names);
    }
    assert!(!shell.path("new.dtmodel").exists());
}

#[test]
fn a_package_for_the_model_zoo_holds_its_own_test() {
    let shell = Shell::new();
    let model = shell.model();
    shell.run(&format!("export {model} --bioimage a.zip")).is_misused(&["--author", "--license"]);
    shell.run(&format!("export {model} --bioimage a.zip --author A --license CC0-1.0")).succeeds();
    let files = unpack(&fs::read(shell.path("a.zip")).unwrap());
    assert_eq!(files[0].0, "rdf.yaml");
    let description: Value = serde_json::from_slice(&files[0].1).unwrap();
    assert!(description["type"] == "model" && description["format_version"] == "0.5.3" && description["license"] == "CC0-1.0");
    let content = |file: &Value| {
        let name = file["source"].as_str().unwrap();
        let (_, bytes) = files.iter().find(|(n, _)| n == name).unwrap_or_else(|| panic!("no {name}"));
        let hash: String = Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(file["sha256"], hash.as_str(), "{name}");
        bytes
    };
    let onnx = &description["weights"]["onnx"];
    assert_eq!((&onnx["opset_version"], input(content(onnx))), (&17.into(), vec![None, Some(3), None, None]));
    let array = |of: &str| {
        let path = shell.path("test.npy");
        fs::write(&path, content(&description[of][0]["test_tensor"])).unwrap();
        load_npy(&path).unwrap()
    };
    let (noisy, denoised) = (array("inputs"), array("outputs"));
    assert!(noisy.shape() == [1, 3, 128, 128] && denoised.shape() == noisy.shape());
    let change = |a: f32, b: f32| f64::from(a - b).powi(2);
    let mean = noisy.to_f32().iter().zip(denoised.to_f32()).map(|(&a, b)| change(a, b)).sum::<f64>() / (3.0 * 128.0 * 128.0);
    assert!(mean > 1e-5, "the network changed nothing");
    let cover = image::load_from_memory(&files.iter().find(|(n, _)| n == "cover.png").unwrap().1).unwrap();
    assert_eq!((cover.width(), cover.height()), (256, 128));
}

#[test]
fn weights_for_open_image_denoise_come_back_bit_for_bit() {
    let shell = Shell::new();
    shell.picture("a.png", 40, 32);
    let tiny = TINY.replace("--width 4 --levels 1 --batch 2 --crop 16 --steps 20", "--batch 1 --crop 16 --steps 2");
    shell.run(&format!("train a.png --out run --net oidn-unet-small {tiny}")).succeeds();
    shell.run("export run/last.safetensors --oidn a.tza").succeeds();
    let json = shell.run("import a.tza --net oidn-unet-small -o b.safetensors --json").succeeds().json("net tensors parameters");
    assert_eq!((&json["tensors"], &json["parameters"], &json["options"]["inputs"]), (&32.into(), &316_579.into(), &3.into()));
    shell.run("export b.safetensors --oidn b.tza").succeeds();
    let bytes = fs::read(shell.path("a.tza")).unwrap();
    assert!(bytes == fs::read(shell.path("b.tza")).unwrap());
    shell.run("denoise a.png -o denoised.png --model b.safetensors --device cpu").succeeds();

    // Of the same weights, another network: for linear values.
    shell.run("import a.tza --net oidn-unet-small --hdr -o hdr.safetensors").succeeds();
    shell.run("export hdr.safetensors --oidn b.tza --onnx b.onnx -f").succeeds();
    assert!(bytes == fs::read(shell.path("b.tza")).unwrap());
    shell.run("export hdr.safetensors --darktable b.dtmodel").fails(&["oidn-unet-small", "linear values"]);
    shell.run("import a.tza --net oidn-unet -o c.safetensors").fails(&["a.tza", "enc_conv2.weight", "[48, 32, 3, 3]"]);
    shell.run("import a.tza --net oidn-unet-small --inputs 9 -o c.safetensors").fails(&["a.tza", "[32, 9, 3, 3]"]);
    fs::write(shell.path("cut.tza"), &bytes[..bytes.len() / 2]).unwrap();
    shell.run("import cut.tza --net oidn-unet-small -o c.safetensors").fails(&["cut.tza", "cut short"]);
    assert!(!shell.path("c.safetensors").exists());
}

#[test]
fn networks_with_auxiliary_pictures_are_refused_where_only_colours_are_given() {
    let shell = Shell::new();
    shell.picture("a.png", 40, 32);
    let tiny = TINY.replace("--width 4 --levels 1", "--net oidn-unet-small --inputs 9");
    shell.run(&format!("train a.png --out run {tiny}")).fails_with(&["oidn-unet-small", "9 channels"]);
    shell.run(&format!("train a.png --out run {}", tiny.replace("inputs 9", "inputs 4"))).is_misused(&["4 input channels"]);
    assert!(!shell.path("run").exists());
}

#[test]
fn what_cannot_be_exported_is_said_and_nothing_is_written() {
    let shell = Shell::new();
    let model = shell.model();
    shell.run(&format!("export {model} --onnx a.onnx --oidn a.tza")).fails(&["unet", "oidn-unet, oidn-unet-small"]);
    shell.run(&format!("export {model} --onnx a.png")).is_misused(&["a.png", "--onnx", ".onnx"]);
    shell.run(&format!("export {model}")).is_misused(&["--onnx", "--darktable", "--bioimage", "--oidn"]);
    shell.run(&format!("export {model} --oidn a.tza --size 64")).is_misused(&["--size"]);
    shell.run(&format!("export {model} --onnx none/a.onnx")).fails(&["none/a.onnx", "create it first"]);
    shell.run("export none.safetensors --onnx a.onnx").fails(&["none.safetensors", "does not exist"]);
    fs::copy(shell.path(model), shell.path("same.onnx")).unwrap();
    shell.run("export same.onnx --onnx same.onnx").is_misused(&["same.onnx", "would be replaced"]);
    assert!(!shell.path("a.onnx").exists() && !shell.path("a.tza").exists());
}

#[test]
fn models_are_replaced_only_when_told_to() {
    let shell = Shell::new();
    let model = shell.model();
    let state = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/import/epfl-convnet.pth");
    fs::copy(state, shell.path("a.pth")).unwrap();
    let import = "import a.pth --net epfl-convnet --mean 118 --std 63 -o b.safetensors";
    for (line, file) in [(format!("export {model} --onnx b.onnx"), "b.onnx"), (import.to_owned(), "b.safetensors")] {
        fs::write(shell.path(file), "mine").unwrap();
        shell.run(&line).is_misused(&[file, "exists already", "--force"]);
        assert_eq!(fs::read(shell.path(file)).unwrap(), b"mine");
        shell.run(&format!("{line} --force")).succeeds();
        assert_ne!(fs::read(shell.path(file)).unwrap(), b"mine");
    }
    shell.run("import a.pth --net epfl-convnet --mean 118 --std 63 -o a.pth --force").is_misused(&["a.pth", "would be replaced"]);
}

#[test]
fn info_tells_what_a_model_is() {
    let shell = Shell::new();
    let model = shell.model();
    let done = shell.run(&format!("info {model} --json"));
    let json = done.succeeds().json("net parameters noise range steps options version bytes multiple radius");
    assert_eq!((&json["net"], &json["noise"], &json["steps"]), (&"unet".into(), &"gaussian:25".into(), &20.into()));
    assert_eq!((&json["range"], &json["multiple"]), (&serde_json::json!([-0.5, 0.5]), &2.into()));
    let done = shell.run(&format!("info {model}"));
    for text in ["unet, width 4", "gaussian:25, 20 steps", "multiples of 2", "pixels around it", env!("CARGO_PKG_VERSION")] {
        assert!(done.succeeds().stdout.contains(text), "{done}");
    }
}

#[test]
fn info_says_what_other_files_are() {
    let shell = Shell::new();
    let model = shell.model();
    shell.run(&format!("export {model} --onnx a.onnx")).succeeds();
    shell.run("info a.onnx").fails(&["a.onnx", "exported from"]);
    let state = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/import/epfl-convnet.pth");
    fs::copy(state, shell.path("a.pth")).unwrap();
    shell.run("info a.pth").fails(&["a.pth", "n2n-gpu import"]);
    shell.run("info for-model.png").fails(&["for-model.png", "safetensors"]);
    shell.run("info model").succeeds();
    shell.run("info none.onnx").fails(&["none.onnx", "does not exist"]);
}

/// As far as this version can tell: a network that it does not know, or other tensors than it expects.
#[test]
fn a_model_of_a_newer_version_names_both_versions() {
    let shell = Shell::new();
    let bytes = fs::read(shell.path(shell.model())).unwrap();
    let own = env!("CARGO_PKG_VERSION");
    let newer = format!("9{}", &own[1..]);
    let replaced = |changes: &[(&str, &str)]| {
        let mut bytes = bytes.clone();
        for (from, to) in changes {
            assert_eq!(from.len(), to.len());
            let at = bytes.windows(from.len()).position(|w| w == from.as_bytes()).unwrap_or_else(|| panic!("no {from}"));
            bytes[at..][..to.len()].copy_from_slice(to.as_bytes());
        }
        fs::write(shell.path("newer.safetensors"), bytes).unwrap();
        shell.run("info newer.safetensors")
    };
    replaced(&[("unet", "tree"), (own, &newer)]).fails(&["newer.safetensors", "tree", &newer, own, "update"]);
    replaced(&[(r#"levels\":1"#, r#"levels\":2"#), (own, &newer)]).fails(&["missing", &newer, own, "update"]);
    replaced(&[("unet", "tree")]).fails(&["newer.safetensors", "tree", "none of unet"]);
    replaced(&[(own, &newer)]).succeeds();
}
