//! The source rows that a part of a convolution's target sees, with their zero border.

use super::patches::{Part, Patches};
use super::scratch::Scratch;
use crate::graph::View;

/// In NHWC the pixels of a window's row lie one after the other here.
pub(super) struct Stage {
    pub values: Scratch<f32>,
    /// Elements from a row to the next.
    pub stride: usize,
    rows: usize,
    pub channels: usize,
}

/// Where the windows of a part's target pixels begin in a stage, and the places of these pixels in the part's memory.
pub(super) struct Windows {
    pub windows: Scratch<usize>,
    pub places: Scratch<usize>,
}

impl Stage {
    /// What `patches` of that part see of the source.
    pub(super) fn load(patches: &Patches, (view, x): (&View, &[f32]), target: &View, part: Part) -> Self {
        let [_, height, width] = view.shape;
        let (c, step) = (view.padded(), patches.source_step);
        let (rows, columns) = patches.grid(target);
        let (top, left) = (patches.first.0, patches.first.1 + (part.columns.0 * step) as isize);
        // Nothing where not even one window reaches into the target.
        let extent = |windows: usize, size: usize| if windows == 0 { 0 } else { (windows - 1) * step + size };
        let stage_rows = extent(part.rows.1.min(rows).saturating_sub(part.rows.0), patches.size.0);
        let stage_columns = extent(part.columns.1.min(columns).saturating_sub(part.columns.0), patches.size.1);
        // Columns of the source that the stage covers, and where they begin in it.
        let first = left.max(0) as usize;
        let last = ((stage_columns as isize + left).max(0) as usize).min(width).max(first);
        let border = ((first as isize - left) as usize).min(stage_columns) * c;
        let stride = stage_columns * c;
        let mut values = Scratch::new(part.pictures * stage_rows * stride);
        for (r, to) in values.chunks_exact_mut(stride.max(1)).enumerate() {
            let (n, r) = (part.picture + r / stage_rows, r % stage_rows);
            let h = (part.rows.0 * step + r) as isize + top;
            if h < 0 || h as usize >= height {
                to.fill(0.0);
                continue;
            }
            let (before, to) = to.split_at_mut(border);
            let (to, after) = to.split_at_mut((last - first) * c);
            before.fill(0.0);
            after.fill(0.0);
            let from = &x[((n * height + h as usize) * width + first) * view.stride..];
            if view.dense() {
                to.copy_from_slice(&from[..to.len()]);
            } else {
                for (to, from) in to.chunks_exact_mut(c).zip(from.chunks(view.stride)) {
                    to.copy_from_slice(&from[view.channel..view.channel + c]);
                }
            }
        }
        Self { values, stride, rows: stage_rows, channels: c }
    }

    /// The windows of `patches`, which lie within those of `loaded`.
    pub(super) fn windows(&self, patches: &Patches, loaded: &Patches, target: &View, part: Part) -> Windows {
        let (top, left) = ((patches.first.0 - loaded.first.0) as usize, (patches.first.1 - loaded.first.1) as usize);
        let mut count = 0;
        patches.each(part, target, |_, _| count += 1);
        let (mut windows, mut places) = (Scratch::new(count), Scratch::new(count));
        let mut left_over = windows.iter_mut().zip(&mut *places);
        patches.each(part, target, |(n, i, j), place| {
            let row = (n - part.picture) * self.rows + (i - part.rows.0) * patches.source_step + top;
            let at = row * self.stride + ((j - part.columns.0) * patches.source_step + left) * self.channels;
            if let Some((window, to)) = left_over.next() {
                (*window, *to) = (at, place);
            }
        });
        Windows { windows, places }
    }
}
