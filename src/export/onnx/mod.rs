//! ONNX: a network as a graph of standard operators with its parameters, which ONNX Runtime, OpenVINO, Core ML and others run.
//!
//! Opset 17 and format version 8 (ONNX 1.12) are read by everything that was looked at. The graph takes and gives RGB pictures
//! (N, 3, H, W) with values from 0 to 1; conversion to the network's own range, padding and cropping are part of it:
//!
//! ```text
//! input -> mirrored at the right and at the bottom -> curve and range of the network -> layers -> cropped -> back -> output
//! ```
//!
//! Padding needs operators on shapes, which Core ML lacks: a graph for one size has none of them.

mod builder;
mod curve;
mod ends;
mod layers;
pub mod proto;

use prost::Message;

use self::builder::{Builder, Size};
use self::proto::{ModelProto, OperatorSetIdProto, StringStringEntryProto};
use super::facts;
use crate::error::{Error, Result};
use crate::nets::{Anatomy, Model, Transfer};

/// Version of the operators.
pub const OPSET: i64 = 17;
/// Version of the file format that came with it.
const IR_VERSION: i64 = 8;
/// Side of pictures that a network for any size is recorded with.
const SIDE: usize = 1024;
/// Largest side of a graph for one size.
const LARGEST: usize = 1 << 14;

/// Name of the picture that the graph takes.
pub const INPUT: &str = "input";
/// Name of the picture that it gives.
pub const OUTPUT: &str = "output";

/// The bytes of an ONNX file of a model: for pictures of any size and number, or for one of `size` x `size` pixels alone.
///
/// # Errors
/// If the network does not divide that size, has an op of which ONNX has no counterpart, or is larger than such a file can be.
pub fn export(model: &Model, size: Option<usize>) -> Result<Vec<u8>> {
    let network = model.network.as_ref();
    let multiple = Anatomy::of(network).multiple;
    if let Some(size) = size {
        check_size(size, multiple)?;
    }
    let side = size.unwrap_or(SIDE.next_multiple_of(multiple));
    let inputs = network.inputs();
    let (g, x, y) = network.forward([1, side, side], inputs);
    let mut builder = Builder::default();
    let begun = ends::begin(&mut builder, size.is_none().then_some(multiple), network, model.ranges.input);
    let name = network.name();
    let done = layers::add(&mut builder, (&g, &model.params), (x, begun.value.clone()), y, size.is_some())
        .map_err(|problem| Error::data(format!("the network {name} cannot be expressed in ONNX: {problem}")))?;
    ends::end(&mut builder, done, &begun, model);
    builder.graph.name = name.to_owned();
    for (values, name, c) in [(&mut builder.graph.input, INPUT, inputs), (&mut builder.graph.output, OUTPUT, network.colours())] {
        let any = [Size::Any("batch"), Size::Fixed(c), Size::Any("height"), Size::Any("width")];
        let shape = size.map_or(any, |size| [1, c, size, size].map(Size::Fixed));
        values.push(Builder::value(name, shape));
    }
    encode(model, builder)
}

/// Refuses a size that a network cannot have.
fn check_size(size: usize, multiple: usize) -> Result<()> {
    if (1..=LARGEST).contains(&size) && size.is_multiple_of(multiple) {
        return Ok(());
    }
    let problem = format!("{size}: this network wants a multiple of {multiple}, up to {LARGEST}");
    Err(Error::option("size", problem))
}

fn encode(model: &Model, builder: Builder) -> Result<Vec<u8>> {
    let values = match (model.network.transfer(), model.signal()) {
        (Transfer::None, None) => "in sRGB from 0 to 1".to_owned(),
        (Transfer::None, Some([black, white])) => format!("with values about {black} to {white}"),
        (Transfer::Pu, _) => "in linear values from 0".to_owned(),
    };
    let colours = if model.network.colours() == 1 { "grey" } else { "RGB" };
    let file = ModelProto {
        ir_version: IR_VERSION,
        producer_name: env!("CARGO_PKG_NAME").to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        doc_string: format!("Removes noise from pictures (N, C, H, W), {colours} {values}."),
        graph: Some(builder.graph),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
        metadata_props: facts(model).into_iter().map(|(key, value)| StringStringEntryProto { key: key.into(), value }).collect(),
    };
    // Protocol buffers count bytes in 31 bits.
    if file.encoded_len() > i32::MAX as usize {
        let mib = file.encoded_len() >> 20;
        return Err(Error::data(format!("the network takes {mib} MiB in ONNX, whose files end at 2 GiB: train a narrower one")));
    }
    Ok(file.encode_to_vec())
}
