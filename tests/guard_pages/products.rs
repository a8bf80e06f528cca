//! Products by weights of every type, in either order, plain and packed.

use selfattn::{Activation, Dtype, Engine, Epilogue, Order, Packed, Plain, Weights};

use crate::common::bits;
use crate::common::stored::{DTYPES, type_pairs};
use crate::memory::{ALL, Edge, Floats, Guarded, Table, at_every_length, scratch};

const ORDERS: [Order; 2] = [Order::OutIn, Order::InOut];

/// Elements between the rows of weights.
const GAP: usize = 3;

fn weights(edge: Edge, dtype: Dtype, order: Order, [k, n]: [usize; 2]) -> Table {
    let size = match order {
        Order::OutIn => [n, k],
        Order::InOut => [k, n],
    };
    Table::random(edge, dtype, size, GAP, 2)
}

/// `m` rows of `k` by plain weights and by packed ones.
fn product(engine: Engine<'_>, edge: Edge, [a, w]: [Dtype; 2], order: Order, [m, k, n]: [usize; 3]) -> Vec<u32> {
    let a = Table::random(edge, a, [m, k], 1, 1);
    let w = weights(edge, w, order, [k, n]);
    let plain = Plain::new(w.matrix(), order);
    let mut memory = scratch(edge, Packed::bytes(engine.level(), plain).unwrap());
    let packed = Packed::new(engine.level(), plain, &mut memory).unwrap();
    let bias = Floats::random(edge, [1, n], 0, 3);
    let residual = Floats::random(edge, [m, n], 2, 4);
    let full = Epilogue { bias: Some(&bias.data), activation: Activation::Gelu, residual: Some(residual.view()) };
    let run = |weights: &Weights<'_>, epilogue: &Epilogue<'_>| {
        let mut out = Floats::unwritten(edge, [m, n], 5);
        let bytes = engine.matmul_scratch(m, a.matrix().dtype(), weights).unwrap();
        engine.matmul(a.matrix(), weights, epilogue, out.view_mut(), &mut scratch(edge, bytes)).unwrap();
        out.bits()
    };
    let [plain, packed] = [plain.into(), packed.into()];
    [run(&plain, &full), run(&packed, &full), run(&packed, &Epilogue::default())].concat()
}

/// The rows vary with the length: one and two have ways of their own, eight fill the largest tile.
fn rows(len: usize) -> usize {
    1 + len % 9
}

#[test]
fn products_stay_inside_at_every_number_of_inputs() {
    at_every_length(ALL, |engine, edge, k| {
        let all = type_pairs().flat_map(|types| ORDERS.map(|order| (types, order)));
        all.flat_map(|(types, order)| product(engine, edge, types, order, [rows(k), k, 17])).collect()
    });
}

#[test]
fn products_stay_inside_at_every_number_of_outputs() {
    at_every_length(ALL, |engine, edge, n| {
        let all = type_pairs().flat_map(|types| ORDERS.map(|order| (types, order)));
        all.flat_map(|(types, order)| product(engine, edge, types, order, [rows(n), 5, n])).collect()
    });
}

#[test]
fn products_stay_inside_at_every_number_of_rows() {
    at_every_length(ALL, |engine, edge, m| {
        let all = type_pairs().flat_map(|types| ORDERS.map(|order| (types, order)));
        all.flat_map(|(types, order)| product(engine, edge, types, order, [m, 3, 2])).collect()
    });
}

/// More than a block in each direction.
#[test]
fn products_stay_inside_across_blocks() {
    at_every_length(0..=1, |engine, edge, one_more| {
        let all = type_pairs().flat_map(|types| ORDERS.map(|order| (types, order)));
        let size = [150 + one_more, 1030 + one_more, 400 + one_more];
        all.flat_map(|(types, order)| product(engine, edge, types, order, size)).collect()
    });
}

#[test]
fn gemv_stays_inside() {
    at_every_length(ALL, |engine, edge, len| {
        let sizes = [[len, 1], [len, 7], [1, len], [9, len]];
        let all = DTYPES.into_iter().flat_map(|dtype| ORDERS.map(|order| (dtype, order)));
        let all = all.flat_map(|(dtype, order)| sizes.map(|size| (dtype, order, size)));
        all.flat_map(|(dtype, order, [k, n])| {
            let w = weights(edge, dtype, order, [k, n]);
            let x = Floats::random(edge, [1, k], 0, 1);
            let mut y = Guarded::new(edge, &vec![f32::NAN; n]);
            engine.gemv(Plain::new(w.matrix(), order), &x.data, &mut y).unwrap();
            bits(&y)
        })
        .collect()
    });
}
