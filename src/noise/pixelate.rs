//! `pixelate:8`: each square cell of the picture gives one random pixel of it; the clean picture is that of the means. Which pixel is
//! shown is drawn where pixels are read, by [`Stream::in_cell`](super::Stream::in_cell).

use std::ops::Bound;

use super::{Law, Noise, Parameter};

pub(super) const LAW: Law = Law {
    name: "pixelate",
    examples: &["pixelate:8"],
    help: "one random pixel of each cell of that side; clean are their means",
    parameters: &[Parameter { name: "side of the cells", within: (Bound::Included(2.0), Bound::Included(64.0)), whole: true }],
    branch: 6,
    cell: |[side, _]| side as usize,
    ..Law::PIXELWISE
};

impl Noise {
    /// Every square of `cell` pixels a side gives one random pixel of it.
    ///
    /// # Panics
    /// If it is not from 2 to 64.
    pub fn pixelate(cell: usize) -> Self {
        Self::new(&LAW, [cell as f32, 0.0])
    }
}
