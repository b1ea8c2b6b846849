//! A graph of ONNX, put together node by node.

use std::collections::HashSet;

use super::proto::{
    AttributeProto, DimensionProto, GraphProto, NodeProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto,
    ValueInfoProto, attribute_type, data_type,
};

/// Nodes and constants so far.
#[derive(Default)]
pub(super) struct Builder {
    pub graph: GraphProto,
    constants: HashSet<String>,
}

/// A size of an input or output.
pub(super) enum Size<'a> {
    Fixed(usize),
    /// Any, under a name.
    Any(&'a str),
}

/// An option of a node.
pub(super) fn int(name: &str, value: usize) -> AttributeProto {
    AttributeProto { i: Some(value as i64), ..attribute(name, attribute_type::INT) }
}

pub(super) fn ints(name: &str, values: &[usize]) -> AttributeProto {
    AttributeProto { ints: values.iter().map(|&v| v as i64).collect(), ..attribute(name, attribute_type::INTS) }
}

pub(super) fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { f: Some(value), ..attribute(name, attribute_type::FLOAT) }
}

pub(super) fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto { s: Some(value.into()), ..attribute(name, attribute_type::STRING) }
}

fn attribute(name: &str, kind: i32) -> AttributeProto {
    AttributeProto { name: name.to_owned(), r#type: kind, ..AttributeProto::default() }
}

impl Builder {
    /// Adds a node with one result, and returns the name of that.
    pub(super) fn node(&mut self, operator: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        let name = format!("{}_{}", operator.to_lowercase(), self.graph.node.len());
        self.graph.node.push(NodeProto {
            input: inputs.iter().map(|&name| name.to_owned()).collect(),
            output: vec![name.clone()],
            name: name.clone(),
            op_type: operator.to_owned(),
            attribute: attributes,
        });
        name
    }

    /// A constant of floats. One of that name that is there already stays.
    pub(super) fn floats(&mut self, name: &str, shape: &[usize], values: &[f32]) -> String {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(name.to_owned(), data_type::FLOAT, shape, bytes)
    }

    /// A scalar.
    pub(super) fn scalar(&mut self, value: f32) -> String {
        self.floats(&format!("float_{value}"), &[], &[value])
    }

    /// A vector of integers.
    pub(super) fn integers(&mut self, values: &[i64]) -> String {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(format!("ints_{}", numbers(values)), data_type::INT64, &[values.len()], bytes)
    }

    /// An integer without axes.
    pub(super) fn integer(&mut self, value: i64) -> String {
        self.constant(format!("int_{value}"), data_type::INT64, &[], value.to_le_bytes().to_vec())
    }

    fn constant(&mut self, name: String, data_type: i32, shape: &[usize], raw_data: Vec<u8>) -> String {
        if self.constants.insert(name.clone()) {
            let dims = shape.iter().map(|&n| n as i64).collect();
            self.graph.initializer.push(TensorProto { dims, data_type, name: name.clone(), raw_data });
        }
        name
    }

    /// Declares an input or output of floats.
    pub(super) fn value(name: &str, shape: [Size; 4]) -> ValueInfoProto {
        let dim = shape.into_iter().map(|size| match size {
            Size::Fixed(n) => DimensionProto { dim_value: Some(n as i64), dim_param: None },
            Size::Any(name) => DimensionProto { dim_value: None, dim_param: Some(name.to_owned()) },
        });
        let shape = Some(TensorShapeProto { dim: dim.collect() });
        let tensor_type = Some(TensorTypeProto { elem_type: data_type::FLOAT, shape });
        ValueInfoProto { name: name.to_owned(), r#type: Some(TypeProto { tensor_type }) }
    }
}

/// `2x3`.
pub(super) fn numbers(values: &[impl ToString]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join("x")
}
