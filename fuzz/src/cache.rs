//! A cache of keys and values under any sequence of operations, against a list of the tokens that it should hold.

use arbitrary::{Result, Unstructured};
use half::{bf16, f16};

use crate::attention::draw;
use crate::common::attend::cached::{Life, Step};
use crate::draw::list;

pub fn run(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let Ok((life, which)) = life(&mut u) else { return };
    [Life::check::<f32>, Life::check::<f16>, Life::check::<bf16>][which](&life);
}

fn life(u: &mut Unstructured<'_>) -> Result<(Life, usize)> {
    let which = u.int_in_range(0..=2)?;
    let life = Life {
        draw: draw(u, 20)?,
        queries: u.int_in_range(0..=10)?,
        capacity: u.int_in_range(1..=60)?,
        is_ring: u.arbitrary()?,
        steps: list(u, 12, step)?,
    };
    Ok((life, which))
}

fn step(u: &mut Unstructured<'_>) -> Result<Step> {
    Ok(match u.int_in_range(0..=15_u8)? {
        15 => Step::Clear,
        1 | 2 => Step::Truncate(u.int_in_range(0..=60)?),
        3 | 4 => Step::Attend,
        5 | 6 => Step::Append(1),
        _ => Step::Append(u.int_in_range(0..=70)?),
    })
}
