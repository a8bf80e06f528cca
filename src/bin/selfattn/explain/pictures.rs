//! The report as pictures.

use super::report::Report;
use crate::args::PictureArgs;
use crate::error::Result;
use crate::output::distinct;
use crate::picture::page::{self, data::Page};
use crate::picture::{Format, HeatMap, Output};

/// The pictures that were asked for.
pub struct Pictures(Vec<Output>);

impl Pictures {
    /// Opens their files.
    pub fn create(args: &PictureArgs) -> Result<Self> {
        distinct(&[args.html.as_deref(), args.png.as_deref(), args.svg.as_deref()])?;
        let wanted = [(Format::Html, &args.html), (Format::Png, &args.png), (Format::Svg, &args.svg)];
        let open = wanted.into_iter().filter_map(|(format, path)| Some(Output::create(format, path.as_deref()?)));
        Ok(Self(open.collect::<Result<_>>()?))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `page` is there if a page was asked for.
    pub fn write(self, report: &Report, page: Option<&Page>) -> Result<()> {
        for output in self.0 {
            match (output.format, page) {
                (Format::Html, Some(page)) => output.write(page::html(page)?.as_bytes())?,
                _ => output.write_heat_map(&heat_map(report))?,
            }
        }
        Ok(())
    }
}

/// The attention of the chosen layer and head.
fn heat_map(report: &Report) -> HeatMap<'_> {
    let attention = &report.attention;
    let which = match attention.head {
        Some(head) => format!("head {head}"),
        None => format!("mean of {} heads", attention.heads),
    };
    let high = attention.weights.iter().flatten().copied().fold(0.0, f32::max);
    HeatMap {
        title: format!("Attention: layer {}, {which}", attention.layer),
        subtitle: format!("{} — {}", report.model, report.text),
        rows: report.words.iter().map(|word| word.word.clone()).collect(),
        named_columns: true,
        axes: ["who looks", "at whom"],
        values: &attention.weights,
        scale: [0.0, high],
        unit: "weight",
        beside: Some(("rest", &attention.rest)),
    }
}
