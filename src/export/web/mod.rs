//! A page that denoises photographs in a browser: one file with our kernels and plans, models in half precision, and the player
//! of `web/` that replays plans on WebGPU. It asks for nothing from outside, so that it can be opened from a disk, served, or
//! mailed.
//!
//! A plan has a fixed width and may run down a picture of any height. There is one for every narrow width, and a few wider ones:
//! of wider pictures, several stand side by side.

mod training;

use std::io::Write;

use base64::prelude::{BASE64_STANDARD, Engine};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::denoise::overlap;
use crate::error::{Error, Result};
use crate::graph::Precision;
use crate::limits::Limits;
use crate::nets::{Anatomy, Model, Network};
use crate::noise::Noise;
use crate::ops::Strips;
use crate::plan::Plan;

macro_rules! made {
    ($name:literal) => {
        include_str!(concat!(env!("OUT_DIR"), "/", $name))
    };
}

const PAGE: &str = include_str!("../../../web/page.html");
/// What `build.rs` makes of the other files of `web/`: the style, the script of the page itself, and that of the worker that owns
/// the device.
const STYLE: &str = made!("page.css");
const SCRIPT: &str = made!("page.js");
const WORKER: &str = made!("worker.js");
/// There are strips for every width up to so many times what those side by side overlap by: of wider pictures they do little work
/// twice.
const OVERLAPS: usize = 4;
/// Columns of other strips for pictures of just these widths, as small ones and frames of cameras often have.
const COMMON: [usize; 4] = [256, 320, 384, 512];
/// Columns of wider strips, about.
const WIDE: [usize; 3] = [768, 1152, 1536];
/// Rows of a strip, at most: of narrow and of wide ones. Higher strips have more work at once, but more of it below the picture.
const ROWS: [usize; 2] = [64, 128];
/// The same on software adapters, which little work keeps busy.
const SOFTWARE_ROWS: usize = 32;

/// A model as the page offers it.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// What it is called.
    pub name: &'a str,
    /// What it is for, in a line.
    pub about: &'a str,
    /// The model.
    pub model: &'a Model,
}

/// What else there is on a page.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extras<'a> {
    /// Photographs to train on beside the visitor's own: files that browsers read.
    pub photos: &'a [&'a [u8]],
    /// Side of the crops that it trains on, pixels, if they are not to be of 64.
    pub crop: Option<usize>,
}

/// The text of `index.html`, for these models; the first one is the default, and its network can be trained.
///
/// # Errors
/// If a network reads other pictures than photographs, does not run in strips, or does not fit the limits that every browser
/// offers; or if the crops are none that the network can be trained on.
///
/// # Panics
/// If there is no model.
pub fn export(entries: &[Entry], Extras { photos, crop }: Extras) -> Result<Vec<u8>> {
    assert!(!entries.is_empty(), "a page has a model");
    let mut networks: Vec<&dyn Network> = Vec::new();
    let mut models = Vec::new();
    let mut files = String::new();
    for Entry { name, about, model } in entries {
        model.check_photographs()?;
        let known = networks.iter().position(|n| n.name() == model.network.name() && n.options() == model.network.options());
        let network = known.unwrap_or_else(|| {
            networks.push(model.network.as_ref());
            networks.len() - 1
        });
        let noise: Option<Noise> = model.noise.parse().ok();
        models.push(json!({
            "name": name,
            "about": about,
            "noise": model.noise,
            "network": network,
            "judges": noise.is_none_or(|noise| noise.suits_residual()),
            "least": noise.map_or(0.0, |noise| 255.0 * noise.least_deviation()),
            "work": work(model.network.as_ref()),
        }));
        files += &element(&format!("model-{}", models.len() - 1), &packed(&model.half_file()));
    }
    let plans = networks.into_iter().map(plans_of).collect::<Result<Vec<_>>>()?;
    let plans = serde_json::to_vec(&plans).expect("plans are plain data");
    // Nothing in it may end the element.
    let models = Value::from(models).to_string().replace('<', "\\u003c");
    let training = match training::training_of(entries, crop) {
        // A network whose training step does not fit the limits of browsers is there to be used.
        Err(Error::Memory(_)) if crop.is_none() => Value::Null,
        training => training?,
    };
    let training = serde_json::to_vec(&training).expect("plans are plain data");
    let photos = photos.iter().enumerate().map(|(i, photo)| element(&format!("photo-{i}"), &BASE64_STANDARD.encode(photo)));
    let files = photos.fold(files, |files, photo| files + &photo);
    let data =
        element("models", &models) + &element("plans", &packed(&plans)) + &element("training-plans", &packed(&training)) + &files;
    Ok(page(&data).into_bytes())
}

/// Floating-point operations that a pixel takes.
fn work(network: &dyn Network) -> f64 {
    let side = Anatomy::of(network).multiple;
    let (g, ..) = network.forward([1, side, side], 3);
    (g.nodes().iter().map(|node| node.op.flops(&g, node)).sum::<f64>() / (side * side) as f64).round()
}

/// What the page needs of a network.
fn plans_of(network: &dyn Network) -> Result<Value> {
    network.check_photographs()?;
    let Anatomy { multiple, radius, .. } = Anatomy::of(network);
    let radius = radius.ok_or_else(|| {
        let problem =
            "normalises over whole pictures, but the page computes them in strips: take one trained with norm none or batch";
        Error::data(format!("the network {} {problem}", network.name()))
    })?;
    let overlap = overlap(multiple, radius);
    let narrow = OVERLAPS * overlap;
    let wide = WIDE.iter().map(|columns| columns.next_multiple_of(multiple)).filter(|&columns| columns > narrow);
    let common = COMMON.iter().map(|columns| columns.next_multiple_of(multiple)).filter(|&columns| columns > narrow);
    let shapes = (multiple..=narrow).step_by(multiple).chain(common).map(|columns| [columns, ROWS[0]]);
    let shapes = shapes.chain(wide.map(|columns| [columns, ROWS[1]]));
    let mut shaders: Vec<Value> = Vec::new();
    let (mut strips, mut halves, mut software, mut ladder) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    // The first picture waits for the compiler of the browser: for a third of the pipelines.
    let limits = Limits { shared: true, ..Limits::default() };
    for [columns, most] in shapes {
        let mut strip = |rows, precision, limits| strip_of(network, multiple, [columns, rows], precision, &limits, &mut shaders);
        match strip(most, Precision::F32, limits) {
            Ok(whole) => {
                strips.push(whole);
                halves.push(strip(most, Precision::F16, limits)?);
                software.push(strip(SOFTWARE_ROWS, Precision::F32, limits.software())?);
                ladder.push(columns);
            }
            // The narrow ones will do.
            Err(_) if columns > 2 * overlap + multiple => break,
            Err(e) => return Err(e),
        }
    }
    Ok(json!({
        "net": network.name(),
        "options": network.options(),
        "multiple": multiple,
        "overlap": overlap,
        "shaders": shaders,
        "ladder": ladder,
        "strips": merged(strips),
        "halves": merged(halves),
        "software": merged(software),
    }))
}

/// Values of one form as one value, in which those that differ are listed: `{"each": [..]}`. Plans for several widths hardly
/// differ.
fn merged(values: Vec<Value>) -> Value {
    let first = &values[0];
    match first {
        first if values.iter().all(|value| value == first) => first.clone(),
        Value::Object(map) if values.iter().all(|v| v.as_object().is_some_and(|other| other.keys().eq(map.keys()))) => {
            let of_key = |key: &String| (key.clone(), merged(values.iter().map(|value| value[key].clone()).collect()));
            Value::Object(map.keys().map(of_key).collect())
        }
        Value::Array(list) if values.iter().all(|v| v.as_array().is_some_and(|other| other.len() == list.len())) => {
            (0..list.len()).map(|i| merged(values.iter().map(|value| value[i].clone()).collect())).collect()
        }
        _ => json!({"each": values}),
    }
}

/// A plan for strips of so many columns, and of at most so many rows, whose intermediates have that precision. Its shaders are
/// numbers in the list of all.
fn strip_of(
    network: &dyn Network,
    multiple: usize,
    [columns, most]: [usize; 2],
    precision: Precision,
    limits: &Limits,
    shaders: &mut Vec<Value>,
) -> Result<Value> {
    let rows = (0..).map(|i| multiple << i).take_while(|&rows| rows == multiple || rows <= most).last().unwrap_or(multiple);
    let (mut g, x, y) = network.forward([1, multiple, columns], 3);
    g.set_precision(precision);
    let Strips { graph, x, control, y, first, lag } = g.in_strips(x, y, rows).ok_or_else(|| {
        Error::data(format!(
            "the network {} has an op that does not run in strips, as the page computes pictures",
            network.name()
        ))
    })?;
    let mut plan = Plan::new(graph, Some(limits))?.to_value();
    number_shaders(&mut plan, shaders);
    Ok(json!({"columns": columns, "rows": rows, "first": first, "lag": lag, "x": x, "control": control, "y": y, "plan": plan}))
}

/// Puts a plan's shaders into a list of all, and their numbers there in their place.
fn number_shaders(plan: &mut Value, shaders: &mut Vec<Value>) {
    let numbers = plan["shaders"].as_array().expect("a plan has shaders").iter().map(|shader| {
        shaders.iter().position(|other| other == shader).unwrap_or_else(|| {
            shaders.push(shader.clone());
            shaders.len() - 1
        })
    });
    plan["shaders"] = numbers.collect();
}

/// An element of data.
fn element(id: &str, text: &str) -> String {
    format!("<script type=\"application/json\" id=\"{id}\">{text}</script>\n")
}

/// Compressed, as text.
fn packed(bytes: &[u8]) -> String {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let compressed = encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory takes every file");
    BASE64_STANDARD.encode(compressed)
}

fn page(data: &str) -> String {
    let page = PAGE.lines().map(|line| line.trim_start().to_owned() + "\n").collect::<String>();
    let hash = |text: &str| format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)));
    let policy = format!(
        "default-src 'none'; script-src {}; style-src {}; worker-src blob:; img-src blob: data:; base-uri 'none'; form-action 'none'",
        hash(SCRIPT),
        hash(STYLE)
    );
    let worker = format!("<script type=\"text/plain\" id=\"worker\">{WORKER}</script>\n");
    let parts = [
        ("<!-- policy -->", format!("<meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">")),
        ("<link rel=\"stylesheet\" href=\"page.css\">", format!("<style>{STYLE}</style>")),
        ("<!-- data -->\n", worker + data),
        ("<script type=\"module\" src=\"page.js\"></script>", format!("<script type=\"module\">{SCRIPT}</script>")),
    ];
    parts.into_iter().fold(page, |page, (place, part)| {
        assert_eq!(page.matches(place).count(), 1, "web/page.html has {place} once");
        page.replace(place, &part)
    })
}
