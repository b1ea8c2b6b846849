//! Models as ONNX: standard operators that say what the network does, for pictures of any size or of one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use n2n_gpu::export::onnx;
use n2n_gpu::export::onnx::proto::{GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};
use n2n_gpu::graph::Tensor;
use n2n_gpu::nets::{Anatomy, Init, Model, Modules, NETWORKS, Network, OidnUnetSmall, Ranges, Statistics, initial};
use n2n_gpu::ops::{Activation, Conv};
use prost::Message;
use safetensors::SafeTensors;

fn golden(name: &str) -> std::path::PathBuf {
    Path::new("tests/golden/before").join(name).with_extension("safetensors")
}

fn decoded(model: &Model, size: Option<usize>) -> ModelProto {
    ModelProto::decode(onnx::export(model, size).unwrap().as_slice()).unwrap()
}

fn graph(name: &str, size: Option<usize>) -> GraphProto {
    decoded(&Model::load(&golden(name)).unwrap(), size).graph.unwrap()
}

/// A network that was not trained.
fn fresh(network: Arc<dyn Network>) -> Model {
    let g = Anatomy::of(network.as_ref()).graph;
    let ranges = network.values().ranges(|| Statistics { mean: 0.5, deviation: 0.25 });
    Model::new(network, ranges, "gaussian:25".into(), 0, initial(&g, Init::He, 1).unwrap())
}

fn kinds(g: &GraphProto) -> BTreeMap<&str, usize> {
    let mut kinds = BTreeMap::new();
    g.node.iter().for_each(|n| *kinds.entry(n.op_type.as_str()).or_default() += 1);
    kinds
}

fn floats(t: &TensorProto) -> Vec<f32> {
    bytemuck::pod_collect_to_vec(&t.raw_data)
}

fn constant<'a>(g: &'a GraphProto, name: &str) -> &'a TensorProto {
    g.initializer.iter().find(|t| t.name == name).unwrap_or_else(|| panic!("no constant {name}"))
}

fn attribute(node: &NodeProto, name: &str) -> Vec<i64> {
    node.attribute.iter().find(|a| a.name == name).map_or(Vec::new(), |a| a.ints.iter().copied().chain(a.i).collect())
}

fn shape(value: &ValueInfoProto) -> Vec<String> {
    let tensor = value.r#type.as_ref().unwrap().tensor_type.as_ref().unwrap();
    assert_eq!(tensor.elem_type, 1);
    let dims = &tensor.shape.as_ref().unwrap().dim;
    dims.iter().map(|d| d.dim_param.clone().unwrap_or_else(|| d.dim_value.unwrap().to_string())).collect()
}

/// Every value is made once and before it is read, and every constant is read.
fn check_order(g: &GraphProto) {
    let mut made: BTreeSet<&str> =
        g.initializer.iter().map(|t| t.name.as_str()).chain(g.input.iter().map(|v| &*v.name)).collect();
    assert_eq!(made.len(), g.initializer.len() + 1, "two constants of one name");
    for node in &g.node {
        let missing = node.input.iter().find(|name| !name.is_empty() && !made.contains(name.as_str()));
        assert_eq!(missing, None, "{} reads what is not there", node.name);
        assert!(node.output.iter().all(|name| made.insert(name)), "{} makes what is there", node.name);
    }
    let read: BTreeSet<&String> = g.node.iter().flat_map(|n| &n.input).collect();
    assert_eq!(g.initializer.iter().find(|t| !read.contains(&t.name)).map(|t| &t.name), None, "a constant that nothing reads");
    assert!(made.contains(g.output[0].name.as_str()));
}

#[test]
fn every_network_is_a_graph_of_opset_17_for_any_size_and_for_one() {
    for entry in NETWORKS {
        let model = fresh(entry.published());
        for size in [None, Some(64)] {
            let file = decoded(&model, size);
            assert_eq!((file.ir_version, file.opset_import[0].version, &*file.opset_import[0].domain), (8, 17, ""));
            let facts: BTreeMap<_, _> = file.metadata_props.iter().map(|p| (&*p.key, &*p.value)).collect();
            assert!(
                facts["net"].starts_with(entry.name) && facts["noise"] == "gaussian:25" && facts["steps"] == "0",
                "{facts:?}"
            );
            assert_eq!(facts["version"], env!("CARGO_PKG_VERSION"));
            let g = file.graph.unwrap();
            check_order(&g);
            let wanted = size.map_or("batch 3 height width".to_owned(), |_| "1 3 64 64".to_owned());
            assert_eq!(
                [&g.input[0], &g.output[0]].map(|v| (&*v.name, shape(v).join(" "))),
                [("input", wanted.clone()), ("output", wanted)]
            );
            let of_shapes = ["Shape", "Range", "Gather", "Slice", "Pad"].iter().any(|kind| kinds(&g).contains_key(kind));
            assert_eq!(of_shapes, size.is_none(), "{}: {:?}", entry.name, kinds(&g));
        }
    }
}

#[test]
fn layers_are_the_operators_of_onnx() {
    // Two levels: four blocks of two convolutions, two that halve, two that double, three at the end; it predicts the noise.
    let g = graph("unet", Some(16));
    let wanted = [("Add", 1), ("Clip", 1), ("Concat", 2), ("Conv", 13), ("ConvTranspose", 2), ("LeakyRelu", 10), ("Sub", 2)];
    assert_eq!(kinds(&g), BTreeMap::from(wanted));
    let convs: Vec<&NodeProto> = g.node.iter().filter(|n| n.op_type == "Conv").collect();
    assert!(convs.iter().all(|n| attribute(n, "kernel_shape") == [3, 3] && attribute(n, "pads") == [1; 4]));
    assert_eq!(convs.iter().filter(|n| attribute(n, "strides") == [2, 2]).count(), 2);
    let doubling: Vec<&NodeProto> = g.node.iter().filter(|n| n.op_type == "ConvTranspose").collect();
    assert!(doubling.iter().all(|n| attribute(n, "kernel_shape") == [4, 4] && attribute(n, "output_padding").is_empty()));
    let leaky = g.node.iter().find(|n| n.op_type == "LeakyRelu").unwrap();
    assert_eq!((leaky.attribute[0].name.as_str(), leaky.attribute[0].f), ("alpha", Some(0.1)));

    let names = |name: &str| kinds(&graph(name, Some(32))).into_keys().map(str::to_owned).collect::<Vec<_>>().join(" ");
    assert_eq!(names("n2n-unet"), "Add Clip Concat Conv LeakyRelu MaxPool Resize Sub");
    assert_eq!(names("epfl-convnet"), "Add Clip Conv Mul Relu Resize Sigmoid");
    assert!(names("unet-batch").contains("BatchNormalization"), "{}", names("unet-batch"));
    assert!(names("unet-group").contains("InstanceNormalization"), "{}", names("unet-group"));
}

#[test]
fn constants_are_the_parameters_of_the_model() {
    let g = graph("unet", None);
    let bytes = std::fs::read(golden("unet")).unwrap();
    let mut extended = 0;
    for (name, tensor) in SafeTensors::deserialize(&bytes).unwrap().tensors() {
        let values: Vec<f32> = bytemuck::pod_collect_to_vec(tensor.data());
        let dims: Vec<i64> = tensor.shape().iter().map(|&n| n as i64).collect();
        if !name.ends_with("up.weight") {
            let found = constant(&g, &name);
            assert_eq!((&found.dims, floats(found)), (&dims, values), "{name}");
            continue;
        }
        // A row and a column of zeros after each window in place of output padding.
        let found = constant(&g, &format!("{name}/4x4"));
        assert_eq!(found.dims, [dims[0], dims[1], 4, 4]);
        for (window, values) in floats(found).chunks(16).zip(values.chunks(9)) {
            let wanted = (0..16).map(|i| if i % 4 < 3 && i / 4 < 3 { values[i / 4 * 3 + i % 4] } else { 0.0 });
            assert!(window.iter().copied().eq(wanted), "{name}");
        }
        extended += 1;
    }
    assert_eq!(extended, 2);
}

/// The scalars that a picture meets outside of the layers: factor and offset before, offset and divisor after.
#[test]
fn values_are_brought_to_the_range_of_the_network_and_back() {
    let ranges = Ranges { input: [-2.0, 6.0], output: [10.0, 14.0] };
    let model = Model { ranges, ..fresh(NETWORKS[0].published()) };
    let g = decoded(&model, Some(32)).graph.unwrap();
    let scalar = |node: &NodeProto| floats(constant(&g, &node.input[1]))[0];
    let [first, second, .., third, fourth, clip] = &g.node[..] else { panic!("too few nodes") };
    assert_eq!(
        [first, second, third, fourth].map(|n| (&*n.op_type, scalar(n))),
        [("Mul", 8.0), ("Add", -2.0), ("Sub", 10.0), ("Div", 4.0)]
    );
    assert_eq!((first.input[0].as_str(), clip.output[0].as_str()), ("input", "output"));
}

#[test]
fn linear_values_go_through_the_curve_of_their_network() {
    let hdr = |inputs| decoded(&fresh(Arc::new(OidnUnetSmall { inputs, hdr: true })), Some(32)).graph.unwrap();
    let (plain, with_others) = (hdr(3), hdr(9));
    for g in [&plain, &with_others] {
        check_order(g);
        let kinds = kinds(g);
        assert!(["Log", "Exp"].iter().all(|kind| kinds[kind] == 1) && kinds["Pow"] == 2 && kinds["Where"] == 4, "{kinds:?}");
        assert!(!kinds.contains_key("Clip") && g.node.last().unwrap().op_type == "Max");
    }
    // Albedo and normals have another range: they go round it.
    assert!(!kinds(&plain).contains_key("Slice") && kinds(&with_others)["Slice"] == 2);
    assert_eq!(
        (shape(&with_others.input[0]).join(" "), shape(&with_others.output[0]).join(" ")),
        ("1 9 32 32".into(), "1 3 32 32".into())
    );
}

#[test]
fn a_network_of_ones_own_is_exported_too() {
    let own = |net: &mut Modules, x: Tensor| {
        let y = net.conv2d("a", x, 8, Conv { kernel: 5, stride: 1, padding: 2 }, Activation::RELU);
        let y = net.graph.scale(y, 0.5);
        let y = net.conv2d("b", y, 3, Conv::same3(1), Activation::NONE);
        net.graph.add(x, y)
    };
    let g = decoded(&fresh(Arc::new(own)), Some(7)).graph.unwrap();
    let kinds: Vec<_> = g.node.iter().map(|n| n.op_type.as_str()).collect();
    assert_eq!(kinds, ["Add", "Conv", "Relu", "Mul", "Conv", "Add", "Sub", "Clip"]);
}

#[test]
fn what_onnx_cannot_express_is_named() {
    let unfolds = |net: &mut Modules, x: Tensor| {
        let windows = net.graph.unfold(x, Conv::same3(1));
        net.conv2d("a", windows, 3, Conv { kernel: 1, stride: 1, padding: 0 }, Activation::NONE)
    };
    let takes_a_part = |net: &mut Modules, x: Tensor| {
        let y = net.conv2d("a", x, 4, Conv::same3(1), Activation::NONE);
        let both = net.graph.concat(&[x, y]);
        let part = net.graph.parts(both, 1..2);
        net.conv2d("b", part, 3, Conv::same3(1), Activation::NONE)
    };
    let message = |network: Arc<dyn Network>| onnx::export(&fresh(network), None).unwrap_err().to_string();
    let first = message(Arc::new(unfolds));
    assert!(first.contains("function") && first.contains("unfold") && first.contains("no counterpart"), "{first}");
    let second = message(Arc::new(takes_a_part));
    assert!(second.contains("conv2d reads") && second.contains("part"), "{second}");
}

#[test]
fn sizes_that_the_network_does_not_divide_are_refused() {
    let model = Model::load(&golden("unet")).unwrap();
    for size in [0, 2, 66, 1 << 20] {
        let message = onnx::export(&model, Some(size)).unwrap_err().to_string();
        assert!(message.contains(&format!("size: {size}")) && message.contains("multiple of 4"), "{message}");
    }
}
