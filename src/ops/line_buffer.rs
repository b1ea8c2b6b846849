//! Line buffers, as hardware that filters pictures row by row has them: of a picture that comes strip by strip they keep the rows
//! that later ops have yet to see.

use rayon::prelude::*;

use super::{channel4, channels4, stride4};
use crate::cpu::{Io, Real};
use crate::graph::{Graph, Node, Op, Role, Tensor, View};
use crate::kernel::Shader;
use crate::plan::{Lowering, grid};

/// A window on the rows of a tensor that comes strip by strip. It has no gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LineBuffer {
    /// Row that the new ones begin at in the tensor; those before it, and those after the new ones, are left out.
    pub(crate) first: usize,
    /// New rows in every run.
    pub(crate) rows: usize,
    /// Rows of the strips before that the window has before as many as are new.
    pub(crate) lead: usize,
    /// Rows by which the window ends before the newest.
    pub(crate) delay: usize,
    /// Rows of the picture to a row of the tensor.
    pub(crate) scale: usize,
    /// Rows by which the new ones are behind the strip.
    pub(crate) lag: usize,
}

impl LineBuffer {
    /// Rows that are retained from run to run.
    fn retained(&self) -> usize {
        self.lead + self.delay
    }
}

impl Graph {
    /// Of x (1, rows or more, W, C), the window (1, lead + rows, W, C); rows beyond the picture are zeros. `control` holds two
    /// integers: the first row of the strip, and the rows of the picture, both before any scaling. Also gives what is retained
    /// (1, lead + delay, W, C), which belongs to the host.
    pub(crate) fn line_buffer(&mut self, x: Tensor, control: Tensor, buffer: LineBuffer) -> (Tensor, Tensor) {
        let View { shape: [n, h, w], parts, .. } = self.view(x).clone();
        let LineBuffer { first, rows, lead, .. } = buffer;
        assert!(n == 1 && first + rows <= h, "line_buffer: {rows} rows from {first} on, of {n} pictures of {h} rows");
        let number = self.nodes().len();
        let retained = self.add_tensor(&format!("retained.{number}"), [1, buffer.retained().max(1), w], &parts, Role::Host);
        let y = self.add_picture(&format!("line_buffer.{number}"), [1, lead + rows, w], &parts);
        self.record_into(buffer, &[x, control], &[y, retained]);
        (y, retained)
    }
}

impl Op for LineBuffer {
    op_facts!(self, "line_buffer", None);

    fn lower(&self, l: &mut Lowering, node: &Node) {
        let ([x, control], [y, retained]) = ([0, 1].map(|i| node.inputs[i]), [0, 1].map(|i| node.outputs[i]));
        let (view, to) = (l.view(x), l.view(y));
        let columns = view.shape[2];
        let [gx, gy] = grid((columns * view.padded() / 4).div_ceil(64), l.limits);
        let counts = [
            ("COLUMNS", columns),
            ("FIRST", self.first),
            ("ROWS", self.rows),
            ("LEAD", self.lead),
            ("DELAY", self.delay),
            ("SCALE", self.scale),
            ("LAG", self.lag),
        ];
        let mut constants = counts.map(|(name, count)| (name, count as f64)).to_vec();
        constants.extend([("C4", channels4(view)), ("GRID_X", gx.into())]);
        constants.extend([("X_STRIDE4", stride4(view)), ("X_CHANNEL4", channel4(view))]);
        constants.extend([("Y_STRIDE4", stride4(to)), ("Y_CHANNEL4", channel4(to))]);
        let bindings = [("x", x), ("control", control), ("y", y), ("retained", retained)].map(|(name, t)| (name, l.range(t)));
        l.dispatch(Shader::LineBuffer, &constants, &bindings, [gx, gy, 1]);
    }
}

impl LineBuffer {
    fn run<T: Real>(&self, io: &mut Io<T>) {
        let mut retained = io.take(1);
        let (inputs, view, y) = io.split(0);
        let (from, x) = inputs.x(0);
        let (c, row) = (from.padded(), from.shape[2] * from.padded());
        let [strip, height] = [0, 1].map(|i| inputs.ints(1)[i] as usize / self.scale);
        // Copies row r of the retained ones and the new ones after them to pixels of `stride` elements from `channel` on.
        let copy = |retained: &[T], r: usize, to: &mut [T], stride: usize, channel: usize| {
            let (pixels, from_stride, from_channel) = match r.checked_sub(self.retained()) {
                None => (&retained[r * row..][..row], c, 0),
                Some(new) => (&x[(self.first + new) * from.shape[2] * from.stride..], from.stride, from.channel),
            };
            if stride == c && from_stride == c {
                to.copy_from_slice(&pixels[..to.len()]);
                return;
            }
            for (to, pixel) in to.chunks_exact_mut(stride).zip(pixels.chunks_exact(from_stride)) {
                to[channel..channel + c].copy_from_slice(&pixel[from_channel..from_channel + c]);
            }
        };
        y.par_chunks_exact_mut(view.shape[2] * view.stride).enumerate().for_each(|(r, to)| {
            let place = (strip + r).checked_sub(self.lag + self.retained());
            if place.is_some_and(|place| place < height) {
                copy(&retained, r, to, view.stride, view.channel);
            } else {
                to.chunks_exact_mut(view.stride).for_each(|pixel| pixel[view.channel..view.channel + c].fill(T::zero()));
            }
        });
        let stay = self.retained().saturating_sub(self.rows);
        retained.copy_within(self.rows.min(self.retained()) * row..self.retained() * row, 0);
        for r in stay..self.retained() {
            let (old, to) = retained.split_at_mut(r * row);
            copy(old, r + self.rows, &mut to[..row], c, 0);
        }
        io.give(1, retained);
    }
}
