//! What the CPU executor computes in, and its memory.

use std::fmt::Debug;

use half::f16;

use super::Io;
use crate::graph::{Element, Op};

/// `f32` or `f64`: what the CPU executor computes in.
pub trait Real:
    num_traits::Float + num_traits::NumAssign + std::iter::Sum + bytemuck::Pod + Default + Debug + Send + Sync + 'static
{
    /// Rounded from double precision.
    fn of(x: f64) -> Self;
    /// Rounded to the precision of the device.
    fn f32(self) -> f32;
    /// In double precision: for sums of very many.
    fn f64(self) -> f64;
    /// Rounded to what 16 bits hold.
    fn half(self) -> Self;
    /// Runs an op in this precision.
    fn run(op: &dyn Op, io: &mut Io<Self>);
}

impl Real for f32 {
    fn of(x: f64) -> Self {
        x as Self
    }
    fn f32(self) -> f32 {
        self
    }
    fn f64(self) -> f64 {
        self.into()
    }
    fn half(self) -> Self {
        f16::from_f32(self).into()
    }
    fn run(op: &dyn Op, io: &mut Io<Self>) {
        op.run_f32(io);
    }
}

impl Real for f64 {
    fn of(x: f64) -> Self {
        x
    }
    fn f32(self) -> f32 {
        self as f32
    }
    fn f64(self) -> f64 {
        self
    }
    fn half(self) -> Self {
        f16::from_f64(self).into()
    }
    fn run(op: &dyn Op, io: &mut Io<Self>) {
        op.run_f64(io);
    }
}

/// Memory of a storage in the CPU executor.
#[derive(Clone, Debug)]
pub enum Store<T> {
    /// Of [`Element::F32`] or [`Element::Picture`].
    Real(Vec<T>),
    /// Of [`Element::U32`].
    Int(Vec<u32>),
}

impl<T: Real> Store<T> {
    /// Zeros.
    pub fn new(element: Element, len: usize) -> Self {
        match element {
            Element::F32 | Element::Picture => Self::Real(vec![T::zero(); len]),
            Element::U32 => Self::Int(vec![0; len]),
        }
    }

    /// The floats.
    pub fn reals(&self) -> &[T] {
        match self {
            Self::Real(v) => v,
            Self::Int(_) => panic!("a storage of integers is read as floats"),
        }
    }

    /// The floats, to write.
    pub fn reals_mut(&mut self) -> &mut [T] {
        match self {
            Self::Real(v) => v,
            Self::Int(_) => panic!("a storage of integers is written as floats"),
        }
    }

    /// The integers.
    pub fn ints(&self) -> &[u32] {
        match self {
            Self::Int(v) => v,
            Self::Real(_) => panic!("a storage of floats is read as integers"),
        }
    }
}
