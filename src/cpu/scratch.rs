//! Memory that ops work in. A thread keeps what it used, so that a step allocates nothing once a few have run.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use bytemuck::{Pod, Zeroable};

/// Lines of the cache: the registers' loads of packed weights then never straddle two.
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
#[repr(C, align(64))]
struct Line([u8; 64]);

thread_local! {
    static FREE: RefCell<Vec<Vec<Line>>> = const { RefCell::new(Vec::new()) };
}

/// A slice that goes back to the thread that drops it.
#[derive(Debug)]
pub(crate) struct Scratch<T> {
    lines: Vec<Line>,
    len: usize,
    element: PhantomData<T>,
}

impl<T> Scratch<T> {
    /// Gives the memory back to the system: kept by a thread that runs no ops, it would never be used again.
    pub(crate) fn free(mut self) {
        self.lines = Vec::new();
    }
}

impl<T: Pod> Scratch<T> {
    /// `len` elements of no particular value.
    pub(crate) fn new(len: usize) -> Self {
        let needed = (len * size_of::<T>()).div_ceil(size_of::<Line>());
        let mut lines = FREE.with_borrow_mut(|free| {
            // The smallest that is large enough, or else the largest, which then grows.
            let waste = |i: &usize| free[*i].len().checked_sub(needed).unwrap_or(usize::MAX - free[*i].len());
            let best = (0..free.len()).min_by_key(waste);
            best.map(|i| free.swap_remove(i)).unwrap_or_default()
        });
        if lines.len() < needed {
            lines.resize(needed, Line::zeroed());
        }
        Self { lines, len, element: PhantomData }
    }

    /// `len` zeros.
    pub(crate) fn zeros(len: usize) -> Self {
        let mut scratch = Self::new(len);
        scratch.fill(T::zeroed());
        scratch
    }

    /// Leaves the first `len` elements.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

impl<T: Pod> Deref for Scratch<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        bytemuck::cast_slice(&bytemuck::cast_slice::<_, u8>(&self.lines)[..self.len * size_of::<T>()])
    }
}

impl<T: Pod> DerefMut for Scratch<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        bytemuck::cast_slice_mut(&mut bytemuck::cast_slice_mut::<_, u8>(&mut self.lines)[..self.len * size_of::<T>()])
    }
}

impl<T> Drop for Scratch<T> {
    fn drop(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        if lines.is_empty() {
            return;
        }
        // A thread that ends has nowhere to keep it.
        let _ = FREE.try_with(|free| free.borrow_mut().push(lines));
    }
}
