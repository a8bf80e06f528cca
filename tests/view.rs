//! Views: what they refuse, and that nothing outside of them can be reached through them.

use half::f16;
use proptest::prelude::*;
use selfattn::{Error, MatMut, MatRef, Matrix};

/// Sizes of every kind, those that overflow often.
fn size() -> impl Strategy<Value = usize> {
    prop_oneof![0_usize..6, Just(usize::MAX), Just(usize::MAX / 2 + 1), any::<usize>()]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    /// A view is made if and only if all its elements exist, and the error says what is wrong.
    #[test]
    fn a_view_needs_every_element(len in 0_usize..30, rows in size(), cols in size(), stride in size()) {
        let mut data: Vec<f32> = (0..len).map(|i| i as f32).collect();
        // In 128 bits nothing overflows.
        let needed = if rows == 0 { 0 } else { (rows as u128 - 1) * stride as u128 + cols as u128 };
        let expected = if stride < cols {
            Err(Error::Shape { arg: "data", expected: cols, got: stride })
        } else if needed > usize::MAX as u128 {
            Err(Error::Overflow { arg: "data" })
        } else if needed > len as u128 {
            Err(Error::Shape { arg: "data", expected: needed as usize, got: len })
        } else {
            Ok((rows, cols, stride))
        };
        let sizes = |view: MatRef<'_>| (view.rows(), view.cols(), view.stride());
        prop_assert_eq!(MatRef::with_stride(&data, rows, cols, stride).map(sizes), expected);
        let view = MatMut::with_stride(&mut data, rows, cols, stride);
        prop_assert_eq!(view.map(|view| sizes(view.as_ref())), expected);
    }

    /// A part of a view has the rows and columns of the whole, and a part that goes past it is refused.
    #[test]
    fn parts_are_where_they_should_be(
        rows in 0_usize..6, cols in 0_usize..6, gap in 0_usize..3, from in 0_usize..8, to in 0_usize..8,
    ) {
        let mut data: Vec<f32> = (0..rows * (cols + gap)).map(|i| i as f32).collect();
        let copy = data.clone();
        let whole = MatRef::with_stride(&copy, rows, cols, cols + gap).unwrap();
        let mut out = MatMut::with_stride(&mut data, rows, cols, cols + gap).unwrap();

        let part = whole.rows_range(from..to);
        prop_assert_eq!(part.is_ok(), from <= to && to <= rows);
        match (part, out.reborrow().rows_range(from..to)) {
            (Ok(part), Ok(out)) => {
                prop_assert_eq!((part.rows(), part.cols()), (to - from, cols));
                for i in 0..part.rows() {
                    prop_assert_eq!(part.row(i), whole.row(from + i));
                    prop_assert_eq!(out.as_ref().row(i), whole.row(from + i));
                }
            }
            (one, other) => prop_assert_eq!(one.unwrap_err(), other.unwrap_err()),
        }

        let part = whole.cols_range(from..to);
        prop_assert_eq!(part.is_ok(), from <= to && to <= cols);
        match (part, out.reborrow().cols_range(from..to)) {
            (Ok(part), Ok(out)) => {
                prop_assert_eq!((part.rows(), part.cols()), (rows, to - from));
                for i in 0..rows {
                    prop_assert_eq!(part.row(i), &whole.row(i)[from..to]);
                    prop_assert_eq!(out.as_ref().row(i), &whole.row(i)[from..to]);
                }
            }
            (one, other) => prop_assert_eq!(one.unwrap_err(), other.unwrap_err()),
        }
    }
}

#[test]
fn a_row_that_does_not_exist_is_empty() {
    let mut data = [1.0, 2.0, 3.0, 4.0, 5.0];
    let view = MatRef::with_stride(&data, 2, 2, 3).unwrap();
    assert_eq!(view.iter_rows().collect::<Vec<_>>(), [[1.0, 2.0], [4.0, 5.0]]);
    assert!(view.row(2).is_empty() && view.row(usize::MAX).is_empty());
    let mut view = MatMut::with_stride(&mut data, 2, 2, 3).unwrap();
    assert!(view.row_mut(2).is_empty() && view.row_mut(usize::MAX).is_empty());
    view.row_mut(1)[0] = 9.0;
    assert_eq!(data, [1.0, 2.0, 3.0, 9.0, 5.0]);
}

/// Elements without a size: the only ones of which a row may start farther than `usize` counts.
#[test]
fn no_rows_behind_the_last_one_are_a_view_whatever_the_stride() {
    let mut nothing = [(); usize::MAX];
    let view = MatRef::with_stride(&nothing, 2, 0, usize::MAX).unwrap();
    assert_eq!(view.rows_range(2..2).map(|view| view.rows()), Ok(0));
    let view = MatMut::with_stride(&mut nothing, 2, 0, usize::MAX).unwrap();
    assert_eq!(view.rows_range(2..2).map(|view| view.rows()), Ok(0));
}

#[test]
fn rows_of_any_storage_type_are_read_as_f32() {
    let data = [1.0, 0.5, -2.0, 65504.0].map(f16::from_f32);
    let matrix = Matrix::F16(MatRef::new(&data, 2, 2).unwrap());
    let mut out = [0.0; 2];
    matrix.read_row(1, &mut out).unwrap();
    assert_eq!(out, [-2.0, 65504.0]);
    assert_eq!(matrix.read_row(2, &mut out), Err(Error::Shape { arg: "row", expected: 2, got: 2 }));
    assert_eq!(matrix.read_row(0, &mut [0.0; 3]), Err(Error::Shape { arg: "out", expected: 2, got: 3 }));
    assert_eq!(out, [-2.0, 65504.0]);
}
