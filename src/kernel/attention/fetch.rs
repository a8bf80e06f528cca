//! How keys and values come to a block: read in place or widened, and brought nearer before they are needed.

use super::block::Block;
use super::head::{Operand, for_each_operand};
use crate::element::Load;
use crate::kernel::Strided;
use crate::kernel::map::{load, registers, store};
use crate::kernel::tile::Ahead;
use crate::simd::{Op, Simd};

impl<S: Simd> Block<'_, S> {
    /// What a product of `product[0]` rows of as many steps brings nearer: `size[0]` rows of keys or values from `key` on,
    /// `size[1]` columns. Long sequences come from memory for each block of queries anew, and rows of heads side by side lie
    /// pages apart, where the hardware's own prefetchers do not follow.
    #[inline(always)]
    pub fn ahead(&self, of: Operand, key: usize, size: [usize; 2], product: [usize; 2]) -> Ahead {
        if !S::PREFETCH || key >= self.sight.keys().end {
            return Ahead::none(self.buffers.scores);
        }
        let row = self.head.ring.row(key);
        for_each_operand!(of, rows => Ahead::new(rows.at(row, 0).ptr, size, rows.row, [product[0].div_ceil(S::MR), product[1]]))
    }

    /// `size[0]` rows and `size[1]` columns of an operand in f32: where they are, or widened into `fetched`, which has room for
    /// them.
    #[inline(always)]
    pub unsafe fn fetch(&self, from: Operand, size: [usize; 2]) -> Strided {
        if let Operand::F32(rows) = from {
            return rows;
        }
        let to = self.buffers.fetched;
        self.s.apart(Fetch { from, size, to });
        Strided { ptr: to, row: size[1], col: 1 }
    }
}

/// Widens rows and columns that exist, to where there is room for them.
struct Fetch {
    from: Operand,
    size: [usize; 2],
    to: *mut f32,
}

impl Op for Fetch {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let [rows, columns] = self.size;
        // SAFETY: see the type.
        unsafe {
            for_each_operand!(self.from, from => for i in 0..rows {
                if S::SMALL {
                    for j in 0..columns {
                        self.to.add(i * columns + j).write((*from.at(i, j).ptr).widen(s));
                    }
                    continue;
                }
                for (at, count) in registers::<S>(columns) {
                    store(s, self.to.add(i * columns + at), count, load(s, from.at(i, at).ptr, count));
                }
            });
        }
    }
}
