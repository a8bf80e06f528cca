//! `selfattn info`: what the machine and the model are.

use comfy_table::{CellAlignment, Table, presets};
use selfattn::{Engine, Level};
use serde::Serialize;

use crate::args::{InfoArgs, LengthArgs};
use crate::error::{Failure, Result};
use crate::machine::cpu_name;
use crate::model::Model;
use crate::output::{print, print_json};
use crate::run::cores;

/// Tokens that memory is planned for, unless the user says otherwise.
const TOKENS: usize = 128;

/// The JSON's field names are an interface.
#[derive(Serialize)]
struct Info {
    cpu: String,
    cores: usize,
    level: &'static str,
    levels: Vec<OfLevel>,
    model: OfModel,
}

#[derive(Serialize)]
struct OfLevel {
    level: &'static str,
    /// `chosen`, or why not.
    why: String,
    /// Null where this CPU does not have it.
    memory: Option<Memory>,
}

/// What a level has and needs.
#[derive(Serialize)]
struct Memory {
    lanes: usize,
    tile: [usize; 2],
    /// Bytes of RAM, weights read in place.
    scratch: usize,
    /// Bytes of RAM for weights packed once, and of scratch then.
    packed: usize,
    packed_scratch: usize,
}

#[derive(Serialize)]
struct OfModel {
    name: String,
    dtype: &'static str,
    layers: usize,
    heads: usize,
    hidden_size: usize,
    intermediate_size: usize,
    vocab_size: usize,
    max_positions: usize,
    parameters: u64,
    /// Bytes of the weight file.
    flash: usize,
    /// That memory is planned for.
    tokens: usize,
}

pub fn run(args: &InfoArgs) -> Result<()> {
    let model = Model::open(&args.model, &LengthArgs { max_tokens: None, no_truncate: false })?;
    let most = model.config.max_positions;
    let tokens = args.tokens.map_or(TOKENS.min(most), std::num::NonZeroUsize::get);
    if tokens > most {
        return Err(Failure::usage(format!("--tokens {tokens}: this model can take at most {most}")));
    }
    let (parameters, flash) = model.size()?;
    let config = model.config;
    let info = Info {
        cpu: cpu_name(),
        cores: cores(),
        level: Level::current().name(),
        levels: Level::NAMES.iter().map(|name| of_level(name, &model, tokens)).collect::<Result<_>>()?,
        model: OfModel {
            name: model.name.clone(),
            dtype: model.dtype()?,
            layers: config.layers,
            heads: config.heads,
            hidden_size: config.hidden_size,
            intermediate_size: config.intermediate_size,
            vocab_size: config.vocab_size,
            max_positions: most,
            parameters,
            flash,
            tokens,
        },
    };
    if args.json { print_json(&info) } else { print(&text(&info)) }
}

fn of_level(name: &'static str, model: &Model, tokens: usize) -> Result<OfLevel> {
    let memory = Level::from_name(name).ok().map(|level| memory(level, model, tokens)).transpose()?;
    Ok(OfLevel { level: name, why: why(name), memory })
}

fn why(name: &str) -> String {
    let (current, best) = (Level::current(), Level::detect());
    match Level::from_name(name) {
        Ok(level) if level == current => "chosen".to_owned(),
        Ok(_) if current == best => format!("slower than {best}"),
        Ok(level) if level == best => format!("the best of this CPU, but SELFATTN_LEVEL={current}"),
        Ok(_) => format!("SELFATTN_LEVEL={current}"),
        Err(_) => {
            let lacking = lacking(name);
            if lacking.is_empty() {
                "the operating system does not save its registers".to_owned()
            } else {
                format!("this CPU lacks {}", lacking.join(", "))
            }
        }
    }
}

/// What a level needs beyond those below it, and this CPU does not have.
#[cfg(target_arch = "x86_64")]
fn lacking(name: &str) -> Vec<&'static str> {
    use std::is_x86_feature_detected as has;

    let needs: &[(&str, bool)] = match name {
        "avx2" => &[("AVX2", has!("avx2")), ("FMA", has!("fma")), ("F16C", has!("f16c"))],
        "avx512" => &[
            ("AVX-512F", has!("avx512f")),
            ("AVX-512BW", has!("avx512bw")),
            ("AVX-512DQ", has!("avx512dq")),
            ("AVX-512VL", has!("avx512vl")),
        ],
        "avx512bf16" => &[("AVX512_BF16", has!("avx512bf16"))],
        // The standard library does not know it yet.
        "amxbf16" => &[("AMX, or the system does not save its tiles", false)],
        _ => &[],
    };
    let lacking: Vec<_> = needs.iter().filter(|(_, has)| !has).map(|(name, _)| *name).collect();
    // A CPU may have what is new in a level without what it builds on.
    if lacking.is_empty() && name == "avx512bf16" { vec!["the level avx512"] } else { lacking }
}

/// Elsewhere the build says what there is.
#[cfg(not(target_arch = "x86_64"))]
fn lacking(_: &str) -> Vec<&'static str> {
    vec!["what this program was not built for"]
}

fn memory(level: Level, model: &Model, tokens: usize) -> Result<Memory> {
    let engine = Engine::new().with_level(level);
    let (rows, columns) = level.tile();
    let (scratch, packed) = model
        .with_plain_encoder(|encoder| Ok((encoder.scratch_bytes(&engine, tokens)?, encoder.packed_bytes(level)?)))?;
    let packed_scratch = model.with_encoder(level, |encoder| Ok(encoder.scratch_bytes(&engine, tokens)?))?;
    Ok(Memory { lanes: level.lanes(), tile: [rows, columns], scratch, packed, packed_scratch })
}

fn text(info: &Info) -> String {
    let OfModel { name, dtype, layers, heads, hidden_size, intermediate_size, vocab_size, max_positions, .. } =
        &info.model;
    let OfModel { parameters, flash, tokens, .. } = info.model;
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["level", "tile", "lanes", "RAM in place", "RAM packed", ""]);
    for level in &info.levels {
        let memory = level.memory.as_ref();
        let cell = |text: &dyn Fn(&Memory) -> String| memory.map_or_else(String::new, text);
        table.add_row([
            level.level.to_owned(),
            cell(&|memory| format!("{} x {}", memory.tile[0], memory.tile[1])),
            cell(&|memory| memory.lanes.to_string()),
            cell(&|memory| kilobytes(memory.scratch)),
            cell(&|memory| kilobytes(memory.packed + memory.packed_scratch)),
            level.why.clone(),
        ]);
    }
    table.column_iter_mut().skip(1).take(4).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    format!(
        "{}, {} cores, level {}\n\n{name}: {layers} layers of {heads} heads, hidden size {hidden_size}, inner {intermediate_size}, \
         {vocab_size} tokens in the vocabulary, {max_positions} positions\n{} parameters, {dtype}; flash {}\n\n{}\n\n\
         RAM: for a text of {tokens} tokens, one thread; weights read in place, or packed once for the level\n",
        info.cpu,
        info.cores,
        info.level,
        thousands(parameters),
        kilobytes(flash),
        table.trim_fmt(),
    )
}

fn kilobytes(bytes: usize) -> String {
    format!("{} kB", thousands(bytes.div_ceil(1000) as u64))
}

/// 22,713,216
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_commas() {
        assert_eq!([0, 999, 1000, 22_713_216].map(thousands), ["0", "999", "1,000", "22,713,216"]);
    }
}
