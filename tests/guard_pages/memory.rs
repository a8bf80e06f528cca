//! Slices and matrices at the edge of the memory that may be touched.

use std::ops::{Deref, DerefMut, RangeInclusive};

use half::{bf16, f16};
use selfattn::{Dtype, Element, Engine, MatMut, MatRef, Matrix};

use crate::common::data::Rng;
use crate::common::every_level;
use crate::common::island::Island;

/// Where operands stand.
#[derive(Clone, Copy, Debug)]
pub enum Edge {
    /// The first element is the first that may be touched.
    Front,
    /// The last element is the last.
    Back,
}

/// A slice at an edge.
pub struct Guarded<E> {
    at: *mut E,
    len: usize,
    _island: Island,
}

impl<E: Copy> Guarded<E> {
    pub fn new(edge: Edge, content: &[E]) -> Self {
        let island = Island::new(size_of_val(content));
        let [front, back] = island.edges::<E>(content.len());
        let at = match edge {
            Edge::Front => front,
            Edge::Back => back,
        };
        // SAFETY: `edges` gives places for as many, aligned as the size of a number is a power of two.
        unsafe { at.copy_from_nonoverlapping(content.as_ptr(), content.len()) };
        Self { at, len: content.len(), _island: island }
    }
}

impl<E> Deref for Guarded<E> {
    type Target = [E];
    fn deref(&self) -> &[E] {
        // SAFETY: as many were written by `new`, and the mapping lives as long as `self`.
        unsafe { std::slice::from_raw_parts(self.at, self.len) }
    }
}

impl<E> DerefMut for Guarded<E> {
    fn deref_mut(&mut self) -> &mut [E] {
        // SAFETY: as for `deref`; nothing else points there.
        unsafe { std::slice::from_raw_parts_mut(self.at, self.len) }
    }
}

/// Scratch: that many dirty bytes.
pub fn scratch(edge: Edge, bytes: usize) -> Guarded<u8> {
    Guarded::new(edge, &vec![0xFF; bytes])
}

/// A matrix at an edge, of any storage type.
pub struct Table {
    data: Data,
    rows: usize,
    cols: usize,
    stride: usize,
}

enum Data {
    F32(Guarded<f32>),
    F16(Guarded<f16>),
    Bf16(Guarded<bf16>),
}

/// Elements from the first row to the end of the last, which has no gap behind it.
fn span([rows, cols]: [usize; 2], stride: usize) -> usize {
    if rows == 0 { 0 } else { (rows - 1) * stride + cols }
}

impl Table {
    /// Numbers in [-1, 1) by seed, `gap` elements between rows.
    pub fn random(edge: Edge, dtype: Dtype, size: [usize; 2], gap: usize, seed: u64) -> Self {
        let stride = size[1] + gap;
        let mut rng = Rng::new(seed);
        let numbers: Vec<f32> = (0..span(size, stride)).map(|_| rng.unit()).collect();
        let data = match dtype {
            Dtype::F32 => Data::F32(Guarded::new(edge, &numbers)),
            Dtype::F16 => Data::F16(Guarded::new(edge, &stored(&numbers))),
            Dtype::Bf16 => Data::Bf16(Guarded::new(edge, &stored(&numbers))),
        };
        Self { data, rows: size[0], cols: size[1], stride }
    }

    pub fn matrix(&self) -> Matrix<'_> {
        let Self { rows, cols, stride, .. } = *self;
        match &self.data {
            Data::F32(data) => Matrix::F32(MatRef::with_stride(data, rows, cols, stride).unwrap()),
            Data::F16(data) => Matrix::F16(MatRef::with_stride(data, rows, cols, stride).unwrap()),
            Data::Bf16(data) => Matrix::Bf16(MatRef::with_stride(data, rows, cols, stride).unwrap()),
        }
    }
}

fn stored<E: Element>(numbers: &[f32]) -> Vec<E> {
    numbers.iter().map(|&x| E::from_f32(x)).collect()
}

/// A matrix of f32 at an edge.
pub struct Floats {
    pub data: Guarded<f32>,
    rows: usize,
    cols: usize,
    stride: usize,
}

impl Floats {
    pub fn random(edge: Edge, size: [usize; 2], gap: usize, seed: u64) -> Self {
        let stride = size[1] + gap;
        let mut rng = Rng::new(seed);
        let numbers: Vec<f32> = (0..span(size, stride)).map(|_| rng.unit()).collect();
        Self { data: Guarded::new(edge, &numbers), rows: size[0], cols: size[1], stride }
    }

    /// Yet to be written: NaN.
    pub fn unwritten(edge: Edge, size: [usize; 2], gap: usize) -> Self {
        let stride = size[1] + gap;
        Self { data: Guarded::new(edge, &vec![f32::NAN; span(size, stride)]), rows: size[0], cols: size[1], stride }
    }

    pub fn view(&self) -> MatRef<'_> {
        MatRef::with_stride(&self.data, self.rows, self.cols, self.stride).unwrap()
    }

    pub fn view_mut(&mut self) -> MatMut<'_> {
        MatMut::with_stride(&mut self.data, self.rows, self.cols, self.stride).unwrap()
    }

    /// The bits of the elements, gaps left out: what was to be written, has been.
    pub fn bits(&self) -> Vec<u32> {
        assert!(self.view().iter_rows().flatten().all(|x| !x.is_nan()), "not written");
        self.view().iter_rows().flat_map(crate::common::bits).collect()
    }
}

/// Runs `kernel` with its operands at either edge, at every level, for every length up to four registers and one more number: the
/// bits of the result are the same.
pub fn at_every_length(lengths: RangeInclusive<usize>, kernel: impl Fn(Engine<'static>, Edge, usize) -> Vec<u32>) {
    every_level(|engine| {
        let longest = (*lengths.end()).min(4 * engine.level().lanes() + 1);
        for len in *lengths.start()..=longest {
            let [front, back] = [Edge::Front, Edge::Back].map(|edge| kernel(engine, edge, len));
            assert_eq!(front, back, "{} at length {len}", engine.level());
        }
    });
}

/// From nothing to any length.
pub const ALL: RangeInclusive<usize> = 0..=usize::MAX;
/// From one to any length.
pub const SOME: RangeInclusive<usize> = 1..=usize::MAX;
