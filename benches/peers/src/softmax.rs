//! Softmax of the rows of a matrix.

use rten_simd::SimdOp;
use rten_vecmath::Softmax;
use selfattn::{Engine, MatMut};

use crate::args::RunArgs;
use crate::contestant::{Contestant, Contestants, Info, Local, Timed, verify};
use crate::data::{random, spread, unit};
use crate::error::Result;
use crate::measure::{TURN, Times, interleaved};
use crate::python::Python;
use crate::report::{Row, sizes};

/// The sequence of random numbers; the Python side has the same.
const SEED: u64 = 3;
const CHECKED: usize = 100;
/// Relative: a few units in the last place for `exp`, and for sums in any order.
const TOLERANCE: f64 = 1e-5;

/// Measures everyone at one shape; a row each.
pub fn run(shape: &str, engine: &Engine<'_>, python: Option<&Python>, args: &RunArgs) -> Result<Vec<Row>> {
    let [rows, cols] = sizes(shape)?;
    let mut contestants: Contestants<'_> = vec![ours(engine, rows, cols), rten(rows, cols)];
    if let Some(python) = python {
        contestants.extend(python.contestants("softmax", &[rows, cols])?);
    }
    contestants.retain(|contestant| args.wants(&contestant.info().name));
    let sampled = spread(rows * cols, CHECKED);
    let expected: Vec<_> = sampled.iter().map(|&at| reference(cols, at)).collect();
    let tolerance: Vec<_> = expected.iter().map(|x| x * TOLERANCE).collect();
    for contestant in &mut contestants {
        verify(contestant.as_mut(), &sampled, &expected, &tolerance)?;
    }
    let mut timed: Vec<&mut dyn Timed> = contestants.iter_mut().map(|one| one.as_mut() as &mut dyn Timed).collect();
    let times = interleaved(&mut timed, args.seconds, TURN)?;
    let work = (rows * cols) as f64;
    let row = |(info, times): (&Info, &Times)| Row { work, ..Row::new("softmax", shape, info, times) };
    Ok(contestants.iter().map(|one| one.info()).zip(&times).map(row).collect())
}

fn info(name: &str, ours: bool) -> Info {
    let dtype = "f32".to_owned();
    Info { name: name.to_owned(), activations: dtype.clone(), weights: dtype, ours, ..Info::default() }
}

/// In place, so from the second run on of its own result: the work does not depend on the values.
fn ours<'a>(engine: &'a Engine<'a>, rows: usize, cols: usize) -> Box<dyn Contestant + 'a> {
    Local::boxed(info("selfattn", true), random(SEED, rows * cols), move |x| {
        engine.softmax(MatMut::new(x, rows, cols).expect("as long as the shape says"));
    })
}

/// In place as well; its threads are the caller's business, so it has one.
fn rten<'a>(rows: usize, cols: usize) -> Box<dyn Contestant + 'a> {
    Local::boxed(info("rten-vecmath, one thread", false), random::<f32>(SEED, rows * cols), move |x| {
        x.chunks_mut(cols).for_each(|row| {
            Softmax::new_mut(row).dispatch();
        });
    })
}

fn reference(cols: usize, at: usize) -> f64 {
    let exp = |i| f64::from(unit(SEED, i)).exp();
    let start = at / cols * cols;
    exp(at) / (start..start + cols).map(exp).sum::<f64>()
}
