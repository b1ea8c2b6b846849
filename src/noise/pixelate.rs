//! `pixelate:8`: each square cell of the picture gives one random pixel of it; the clean picture is that of the means. Which
//! pixel is shown is drawn where pixels are read, by [`Stream::in_cell`](super::Stream::in_cell).

use std::ops::Bound::Included;

use super::{Law, Parameter};

pub(super) const LAW: Law = Law {
    name: "pixelate",
    examples: &["pixelate:8"],
    help: "one random pixel of each cell of that side; clean is its mean",
    parameters: &[Parameter { whole: true, ..Parameter::new("side of the cells", Included(2.0), Included(64.0)) }],
    cell: |[side, ..]| side as usize,
    ..Law::PIXELWISE
};
