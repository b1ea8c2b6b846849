//! `n2n-gpu export --web`: what is on the page. tests/clients/web.py opens it in a browser.

use std::fs;
use std::io::Read;

use crate::cli::{Shell, TINY};
use base64::prelude::{BASE64_STANDARD, Engine};
use flate2::read::GzDecoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The text between two others.
fn between<'t>(text: &'t str, start: &str, end: &str) -> &'t str {
    let (_, rest) = text.split_once(start).unwrap_or_else(|| panic!("no {start}"));
    rest.split_once(end).unwrap_or_else(|| panic!("no {end} after {start}")).0
}

/// What an element of data holds.
fn element<'t>(page: &'t str, id: &str) -> &'t str {
    between(page, &format!("<script type=\"application/json\" id=\"{id}\">"), "</script>")
}

fn unpacked(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    GzDecoder::new(&BASE64_STANDARD.decode(text).unwrap()[..]).read_to_end(&mut bytes).unwrap();
    bytes
}

/// The value of that number among merged ones.
fn one_of(merged: &Value, number: usize) -> Value {
    match merged {
        Value::Array(list) => list.iter().map(|value| one_of(value, number)).collect(),
        Value::Object(map) => match map.get("each") {
            Some(each) => each[number].clone(),
            None => Value::Object(map.iter().map(|(key, value)| (key.clone(), one_of(value, number))).collect()),
        },
        other => other.clone(),
    }
}

/// A page with a model of one's own and one in the box.
fn page(shell: &Shell) -> String {
    let model = shell.model();
    let json = shell.run(&format!("export {model} --web site/demo --also gaussian --json")).succeeds().json("net files");
    let page = fs::read_to_string(shell.path("site/demo/index.html")).unwrap();
    assert_eq!(
        (json["files"][0]["path"].as_str(), json["files"][0]["bytes"].as_u64()),
        (Some("site/demo/index.html"), Some(page.len() as u64))
    );
    assert_eq!(shell.names("site/demo"), ["index.html"]);
    page
}

#[test]
fn the_page_is_small_and_asks_for_nothing_from_outside() {
    let page = page(&Shell::new());
    let data = ["models", "plans", "training-plans", "model-0", "model-1"].map(|id| element(&page, id));
    let photos = (0..5).map(|i| element(&page, &format!("photo-{i}")));
    let page = data.into_iter().chain(photos).fold(page.clone(), |page, data| page.replace(data, ""));
    assert!(page.len() < 60_000, "page and player have {} bytes", page.len());
    let policy = between(&page, "Content-Security-Policy\" content=\"", "\"");
    assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"), "{policy}");
    for (start, end) in [("<style>", "</style>"), ("<script type=\"module\">", "</script>")] {
        let hash = BASE64_STANDARD.encode(Sha256::digest(between(&page, start, end)));
        assert!(policy.contains(&hash), "{policy} does not allow what begins with {start}");
    }
    // An address, or something imported.
    for outside in ["//www", "http:", "https:", "src=", "\nimport ", "\nexport ", "@import", "fetch("] {
        assert!(!page.contains(outside), "the page has {outside}");
    }
}

#[test]
fn plans_on_the_page_are_whole_and_fit_every_browser() {
    let page = page(&Shell::new());
    let models: Value = serde_json::from_str(element(&page, "models")).unwrap();
    assert_eq!((models[0]["network"].as_u64(), models[1]["name"].as_str()), (Some(0), Some("gaussian")));
    let networks: Value = serde_json::from_slice(&unpacked(element(&page, "plans"))).unwrap();
    for network in networks.as_array().unwrap() {
        let [multiple, overlap] = ["multiple", "overlap"].map(|name| network[name].as_u64().unwrap());
        let ladder: Vec<u64> = network["ladder"].as_array().unwrap().iter().map(|c| c.as_u64().unwrap()).collect();
        assert!(ladder.is_sorted() && ladder[0] == multiple && *ladder.last().unwrap() >= 4 * overlap, "{ladder:?}");
        let shaders = network["shaders"].as_array().unwrap();
        let precisions = [("strips", json!([])), ("halves", json!(["f16"])), ("software", json!([]))];
        for ((number, columns), (name, features)) in
            ladder.iter().enumerate().flat_map(|one| precisions.iter().map(move |of| (one, of)))
        {
            let strip = one_of(&network[name], number);
            let plan = &strip["plan"];
            assert_eq!((strip["columns"].as_u64(), plan["version"].as_u64()), (Some(*columns), Some(3)));
            assert_eq!(plan["features"], *features);
            assert!(plan["needs"]["buffer_bytes"].as_u64().unwrap() <= 128 << 20);
            assert!(
                plan["shaders"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .all(|shader| shaders[shader.as_u64().unwrap() as usize]["wgsl"].is_string())
            );
            for binding in plan["dispatches"].as_array().unwrap().iter().flat_map(|d| d["bindings"].as_array().unwrap()) {
                let [buffer, offset, size] = ["buffer", "offset", "size"].map(|name| binding[name].as_u64().unwrap());
                assert!(offset + size <= plan["buffers"][buffer as usize]["bytes"].as_u64().unwrap());
            }
        }
    }
}

#[test]
fn plans_of_training_are_whole_and_fit_every_browser() {
    let shell = Shell::new();
    let model = shell.model();
    shell.run(&format!("export {model} --web site --also {model} --also gaussian --size 16")).succeeds();
    let page = fs::read_to_string(shell.path("site/index.html")).unwrap();
    let spec: Value = serde_json::from_slice(&unpacked(element(&page, "training-plans"))).unwrap();
    assert_eq!((&spec["starts"], spec["crop"].as_u64(), spec["side"].as_u64()), (&json!([0, 1]), Some(16), Some(32)));
    let noises = spec["noises"].as_array().unwrap();
    assert_eq!(noises.iter().filter(|noise| noise["noise"] == "pairs").count(), 1);
    let kinds = ["devices", "halves", "software"].into_iter().flat_map(|kind| ["step", "look"].map(|part| (kind, part)));
    for (number, (kind, part_name)) in (0..noises.len()).flat_map(|number| kinds.clone().map(move |of| (number, of))) {
        let part = one_of(&spec["sets"][kind]["plans"][part_name], number);
        let plan = &part["plan"];
        let features = if (kind, part_name) == ("halves", "step") { json!(["f16"]) } else { json!([]) };
        assert!(plan["features"] == features && plan["needs"]["buffer_bytes"].as_u64().unwrap() <= 128 << 20);
        let shaders = plan["shaders"].as_array().unwrap();
        assert!(
            shaders.iter().all(|shader| spec["sets"][kind]["shaders"][shader.as_u64().unwrap() as usize]["wgsl"].is_string())
        );
        for (name, storage) in part.as_object().unwrap().iter().filter(|(name, _)| *name != "plan") {
            assert_eq!(plan["storages"][storage.as_u64().unwrap() as usize]["role"], "host", "{name}");
        }
        // What the page writes has room: its table, and pictures.
        let bytes = |of: &str| 4 * plan["storages"][part[of].as_u64().unwrap() as usize]["len"].as_u64().unwrap();
        assert!(bytes("table") >= 16 * 4 && bytes("shard") >= 4 * 32 * 32 * 3, "{number}");
    }
    shell.run(&format!("export {model} --web other --size 15")).is_misused(&["--size 15", "multiple of 2"]);
}

#[test]
fn what_a_page_cannot_have_is_said() {
    let shell = Shell::new();
    let model = shell.model();
    fs::write(shell.path("file"), "").unwrap();
    shell.run(&format!("export {model} --web file")).fails(&["file", "--web"]);
    shell.run(&format!("export {model} --web site --also none.safetensors")).fails(&["none.safetensors"]);
    shell.run(&format!("export {model} --onnx a.onnx --also gaussian")).is_misused(&["--web"]);
    shell.picture("a.png", 40, 40);
    shell.run(&format!("train a.png --out run {TINY} --norm group")).succeeds();
    shell.run("export run/last.safetensors --web site").fails(&["unet", "norm none"]);
    assert!(!shell.path("site").exists());
}
