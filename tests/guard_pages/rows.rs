//! The operations on rows.

use selfattn::{Activation, roof};

use crate::common::stored::DTYPES;
use crate::memory::{ALL, Floats, Guarded, SOME, Table, at_every_length};

/// Rows, and elements between them.
const ROWS: [[usize; 2]; 3] = [[1, 0], [3, 0], [2, 5]];

#[test]
fn softmax_stays_inside() {
    at_every_length(ALL, |engine, edge, len| {
        let rows = ROWS.map(|[rows, gap]| {
            let mut x = Floats::random(edge, [rows, len], gap, 1);
            engine.softmax(x.view_mut());
            x.bits()
        });
        rows.concat()
    });
}

#[test]
fn layer_norm_stays_inside() {
    at_every_length(ALL, |engine, edge, len| {
        let rows = ROWS.map(|[rows, gap]| {
            let x = Floats::random(edge, [rows, len], gap, 1);
            let [weight, bias] = [2, 3].map(|seed| Floats::random(edge, [1, len], 0, seed));
            let mut out = Floats::unwritten(edge, [rows, len], 2 * gap);
            engine.layer_norm(x.view(), &weight.data, &bias.data, 1e-5, out.view_mut()).unwrap();
            out.bits()
        });
        rows.concat()
    });
}

#[test]
fn activations_stay_inside() {
    at_every_length(ALL, |engine, edge, len| {
        let activations = [Activation::None, Activation::Relu, Activation::Gelu, Activation::GeluTanh];
        let rows = activations.map(|activation| {
            let mut x = Floats::random(edge, [2, len], 3, 1);
            engine.activate(activation, x.view_mut());
            x.bits()
        });
        rows.concat()
    });
}

/// Of a table of each storage type: the widening conversions.
#[test]
fn gather_stays_inside() {
    at_every_length(ALL, |engine, edge, len| {
        let types = DTYPES.map(|dtype| {
            let table = Table::random(edge, dtype, [3, len], 1, 1);
            let ids = Guarded::new(edge, &[2, 0, 2, 1]);
            let mut out = Floats::unwritten(edge, [4, len], 2);
            engine.gather(&table.matrix(), &ids, out.view_mut()).unwrap();
            let mut row = Floats::unwritten(edge, [1, len], 0);
            table.matrix().read_row(2, &mut row.data).unwrap();
            [out.bits(), row.bits()].concat()
        });
        types.concat()
    });
}

#[test]
fn mean_pool_and_normalize_stay_inside() {
    at_every_length(ALL, |engine, edge, len| {
        let x = Floats::random(edge, [5, len], 1, 1);
        let mut out = Floats::unwritten(edge, [3, len], 2);
        engine.mean_pool(x.view(), &Guarded::new(edge, &[2, 0, 3]), out.view_mut()).unwrap();
        engine.normalize(out.view_mut());
        out.bits()
    });
}

#[test]
fn dot_stays_inside() {
    at_every_length(ALL, |engine, edge, len| {
        let [a, b] = [1, 2].map(|seed| Floats::random(edge, [1, len], 0, seed));
        vec![engine.dot(&a.data, &b.data).unwrap().to_bits()]
    });
}

/// It reads more registers at a time than any operation.
#[test]
fn reading_stays_inside() {
    at_every_length(ALL, |engine, edge, len| {
        roof::read(&engine, &Floats::random(edge, [1, 4 * len], 0, 1).data);
        Vec::new()
    });
}

#[test]
fn merged_attention_stays_inside() {
    at_every_length(SOME, |engine, edge, len| {
        let [mut out, other] = [1, 2].map(|seed| Floats::random(edge, [2, 3 * len], 1, seed));
        let [mut lse, other_lse] = [3, 4].map(|seed| Floats::random(edge, [2, 3], 2, seed));
        engine.merge_attention(out.view_mut(), lse.view_mut(), other.view(), other_lse.view()).unwrap();
        [out.bits(), lse.bits()].concat()
    });
}
