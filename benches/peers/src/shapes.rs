//! Flash attention beside the plain algorithm, from one token to thousands: it must be slower nowhere.

use std::collections::BTreeMap;
use std::fs;

use comfy_table::{CellAlignment, Table, presets};
use selfattn::Engine;

use crate::args::{self, ShapesArgs, check_seconds};
use crate::attention::{self, FLASH, PLAIN};
use crate::clock;
use crate::error::Result;
use crate::machine::{self, Machine};
use crate::report::table::heading;
use crate::report::{Report, Row};
use crate::{ROOF_SECONDS, roofs};

const DIMS: [usize; 5] = [16, 32, 64, 128, 256];
const LONGEST: usize = 16384;
/// Heads, and those of sequences longer than `MANY`: the scores of one take seconds.
const HEADS: usize = 8;
const MANY: usize = 1024;
/// A shape that fails is measured once more, for so many times as long.
const AGAIN: f64 = 5.0;

/// Flash to plain speed, by type, length and dimensions.
type Ratios = BTreeMap<(String, usize, usize), f64>;

pub fn run(args: &ShapesArgs) -> Result<()> {
    check_seconds(args.seconds)?;
    clock::choose(args.processor_time, args.threads)?;
    let pool = machine::pool(args.threads)?;
    let engine = Engine::new().with_pool(&*pool);
    let roofs = roofs::measure(&engine, ROOF_SECONDS, args::bytes(args::MEMORY))?;
    let machine = Machine { versions: Vec::new(), ..Machine::new(&engine, roofs) };
    let least = 1.0 - args.slack / 100.0;
    let mut ratios = Ratios::new();
    for (n, d) in lengths().flat_map(|n| DIMS.map(|d| (n, d))) {
        let shape = format!("{}x{n}x{d}", if n > MANY { 1 } else { HEADS });
        if shape.contains(&args.filter) {
            eprintln!("shapes {shape}");
            let of_shape = measured(&shape, &engine, args.seconds, least)?;
            ratios.extend(of_shape.into_iter().map(|(dtype, ratio)| ((dtype, n, d), ratio)));
        }
    }
    let heading = heading(&Report { machine, ..Report::default() });
    let table = table(&ratios);
    println!("{}\n\n{table}", heading.join("\n"));
    if let Some(file) = &args.md {
        fs::write(file, format!("{}\n\n{table}\n", heading.join("  \n")))?;
    }
    verdict(&ratios, args, least)
}

fn lengths() -> impl Iterator<Item = usize> {
    std::iter::successors(Some(1), |n| Some(n * 2)).take_while(|&n| n <= LONGEST)
}

/// Speed of flash to plain attention in each type; measured again, for longer, if it is less than `least`.
fn measured(shape: &str, engine: &Engine<'_>, seconds: f64, least: f64) -> Result<Vec<(String, f64)>> {
    let of_types = ratios(&attention::ours(shape, engine, seconds)?);
    if of_types.iter().all(|(_, ratio)| *ratio >= least) {
        return Ok(of_types);
    }
    Ok(ratios(&attention::ours(shape, engine, AGAIN * seconds)?))
}

fn ratios(rows: &[Row]) -> Vec<(String, f64)> {
    let plain = |dtype: &str| rows.iter().find(|row| row.contestant == PLAIN && row.weights == dtype);
    let flash = rows.iter().filter(|row| row.contestant == FLASH);
    // The best turns: medians of what takes microseconds tell more of the machine's other work.
    flash.filter_map(|row| Some((row.weights.clone(), plain(&row.weights)?.best / row.best))).collect()
}

/// A line a type and length, a column a dimension.
fn table(ratios: &Ratios) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    let header = ["type", "n"].map(str::to_owned).into_iter();
    table.set_header(header.chain(DIMS.map(|d| format!("d = {d}"))));
    let mut lines: Vec<_> = ratios.keys().map(|(dtype, n, _)| (dtype, *n)).collect();
    lines.dedup();
    for (dtype, n) in lines {
        let ratio = |d| ratios.get(&(dtype.clone(), n, d)).map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        table.add_row([dtype.clone(), n.to_string()].into_iter().chain(DIMS.map(ratio)));
    }
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

fn verdict(ratios: &Ratios, args: &ShapesArgs, least: f64) -> Result<()> {
    let Some(((dtype, n, d), smallest)) = ratios.iter().min_by(|a, b| a.1.total_cmp(b.1)) else {
        return Err(format!("--filter {}: no such shape", args.filter).into());
    };
    println!("\nflash to plain speed: at least {smallest:.2}, in {dtype} at n = {n}, d = {d}");
    let slower = ratios.values().filter(|&&ratio| ratio < least).count();
    if slower == 0 {
        return Ok(());
    }
    Err(format!("flash is slower than plain by more than {} % in {slower} of {} cases", args.slack, ratios.len())
        .into())
}
