//! An option that has an element for each sequence, head, query and key, or shares it along some of these.

use super::super::data::Rng;
use super::form::Place;

/// How the elements lie in memory.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Which of sequence, head, query and key have elements of their own; along the others one is shared.
    pub kept: [bool; 4],
    /// Which of the 24 orders of the axes.
    pub order: usize,
    /// Elements that belong to nothing, after each line.
    pub gap: usize,
}

impl Layout {
    /// All axes, the keys side by side, no gaps.
    pub const FULL: Self = Self { kept: [true; 4], order: 0, gap: 0 };

    pub fn any(rng: &mut Rng) -> Self {
        Self { kept: [(); 4].map(|()| rng.below(3) > 0), order: rng.below(24), gap: rng.below(3) }
    }

    /// The axes from the innermost to the outermost.
    fn axes(self) -> [usize; 4] {
        let mut left = vec![3, 2, 1, 0];
        let mut order = self.order;
        [4, 3, 2, 1].map(|count| {
            let axis = left.remove(order % count);
            order /= count;
            axis
        })
    }
}

/// The elements and their strides, as short as the library may demand.
#[derive(Clone)]
pub struct Broadcast<T> {
    pub data: Vec<T>,
    pub strides: [usize; 4],
}

/// The strides: the elements are too many to read.
impl<T> std::fmt::Debug for Broadcast<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} elements {:?} apart", self.data.len(), self.strides)
    }
}

impl<T: Copy> Broadcast<T> {
    /// For that many sequences, heads, queries and keys. `fill` gets the index along the axes that are kept, 0 along others.
    pub fn new(sizes: [usize; 4], layout: Layout, unused: T, mut fill: impl FnMut([usize; 4]) -> T) -> Self {
        let sizes = [0, 1, 2, 3].map(|axis| if layout.kept[axis] { sizes[axis] } else { sizes[axis].min(1) });
        let (mut strides, mut stride) = ([0; 4], 1);
        for axis in layout.axes().into_iter().filter(|&axis| layout.kept[axis]) {
            strides[axis] = stride;
            stride = stride * sizes[axis] + layout.gap;
        }
        let mut this = Self { data: Vec::new(), strides };
        if !sizes.contains(&0) {
            this.data = vec![unused; this.index(sizes.map(|size| size - 1)) + 1];
        }
        let [sequences, heads, queries, keys] = sizes;
        for at in 0..sequences * heads * queries * keys {
            let at = [at / (heads * queries * keys), at / (queries * keys) % heads, at / keys % queries, at % keys];
            let index = this.index(at);
            this.data[index] = fill(at);
        }
        this
    }

    pub fn index(&self, at: [usize; 4]) -> usize {
        at.iter().zip(self.strides).map(|(at, stride)| at * stride).sum()
    }

    pub fn at(&self, sequence: usize, Place { head, query }: Place, key: usize) -> T {
        self.data[self.index([sequence, head, query, key])]
    }

    /// From that sequence, head, query or key on; along an axis that shares one element, all of it.
    pub fn from(mut self, axis: usize, index: usize) -> Self {
        let skipped = (index * self.strides[axis]).min(self.data.len());
        self.data.drain(..skipped);
        self
    }
}
