//! Attention: sizes, types, the product of all options, every level, against the naive one in f64.

use arbitrary::{Result, Unstructured};
use selfattn::Dtype;

use crate::common::attend::draw::{Draw, Hidden, Sight, Terms};
use crate::common::attend::form::Rows;
use crate::draw::{dimension, dtype, list, option, rarely, sixtyfourths, values};

pub fn run(data: &[u8]) {
    let mut u = Unstructured::new(data);
    if let Ok((draw, rows, size)) = problem(&mut u) {
        draw.problem(rows, size).check();
    }
}

fn problem(u: &mut Unstructured<'_>) -> Result<(Draw, Rows, [usize; 2])> {
    let draw = draw(u, 40)?;
    let (rows, size) = rows(u)?;
    Ok((draw, rows, size))
}

/// Heads of up to that many dimensions, any options.
pub fn draw(u: &mut Unstructured<'_>, dims: usize) -> Result<Draw> {
    Ok(Draw {
        kv_heads: u.int_in_range(1..=3)?,
        group: u.int_in_range(1..=4)?,
        head_dim: dimension(u, dims)?.max(1),
        value_dim: dimension(u, dims)?.max(1),
        scale: option(u, |u| sixtyfourths(u, 0, 2))?,
        types: types(u)?,
        values: values(u)?,
        gap: u.int_in_range(0..=2)?,
        sight: sight(u)?,
        terms: terms(u)?,
        key_block: option(u, |u| u.int_in_range(1..=1024))?,
        seed: u.arbitrary()?,
    })
}

/// Mostly one type: bf16 alone has products of its own.
fn types(u: &mut Unstructured<'_>) -> Result<[Dtype; 3]> {
    let one = dtype(u)?;
    if u.ratio(3, 4)? { Ok([one; 3]) } else { Ok([one, dtype(u)?, dtype(u)?]) }
}

fn sight(u: &mut Unstructured<'_>) -> Result<Sight> {
    let limit = |u: &mut Unstructured<'_>| if rarely(u, 8)? { Ok(usize::MAX) } else { dimension(u, 150) };
    let offset = |u: &mut Unstructured<'_>| if rarely(u, 8)? { Ok(usize::MAX >> 24) } else { dimension(u, 300) };
    let hidden = |u: &mut Unstructured<'_>| {
        if u.arbitrary()? { Ok(Hidden::Blocks) } else { Ok(Hidden::Some(u.int_in_range(2..=8)?)) }
    };
    Ok(Sight {
        causal: u.arbitrary()?,
        window: [option(u, limit)?, option(u, limit)?],
        query_offset: option(u, offset)?,
        mask: option(u, hidden)?,
    })
}

fn terms(u: &mut Unstructured<'_>) -> Result<Terms> {
    Ok(Terms {
        softcap: option(u, |u| Ok(0.5 + sixtyfourths(u, 0, 49)?))?,
        bias: u.arbitrary()?,
        alibi: u.arbitrary()?,
        sinks: u.arbitrary()?,
    })
}

/// How the rows divide into sequences, and how many queries and keys there are: few queries over many keys now and then.
fn rows(u: &mut Unstructured<'_>) -> Result<(Rows, [usize; 2])> {
    Ok(match u.int_in_range(0..=15_u8)? {
        15 => (Rows::One, [u.int_in_range(1..=2)?, u.int_in_range(1000..=2500)?]),
        1 | 2 => {
            let lengths = list(u, 4, |u| dimension(u, 24))?;
            let rows = lengths.iter().sum();
            (Rows::Packed(lengths), [rows, rows])
        }
        3 | 4 => {
            let (n_q, n_k) = (dimension(u, 12)?, dimension(u, 60)?);
            let lengths = list(u, 3, |u| u.int_in_range(0..=n_k))?;
            let size = [lengths.len() * n_q, lengths.len() * n_k];
            (Rows::Padded(lengths), size)
        }
        5 | 6 => {
            let lengths = list(u, 3, |u| Ok((dimension(u, 12)?, dimension(u, 60)?)))?;
            let (mut queries, mut keys) = (vec![0], vec![0]);
            for (n_q, n_k) in lengths {
                queries.push(queries[queries.len() - 1] + n_q);
                keys.push(keys[keys.len() - 1] + n_k);
            }
            let size = [&queries, &keys].map(|ends| ends[ends.len() - 1]);
            (Rows::Offsets { queries, keys }, size)
        }
        _ => (Rows::One, [dimension(u, 24)?, dimension(u, 120)?]),
    })
}
