//! The report as text.

use comfy_table::{CellAlignment, Table, presets};

use super::report::{Layer, Report, Row};

pub fn text(report: &Report) -> String {
    let Report { roofs, passes, wall_us, covered_percent, overhead_percent, .. } = report;
    let mut out = format!(
        "{}\nFMA peak {:.1} GFLOP/s, reading from memory {:.1} GB/s: they meet at {:.1} FLOP/byte\n",
        report.heading(),
        roofs.peak_gflops,
        roofs.memory_gbs,
        roofs.ridge()
    );
    out += &format!(
        "{passes} passes of {:.3} ms; the operations below are {covered_percent:.1}% of that, spans cost {overhead_percent:+.1}%\n\n",
        wall_us / 1e3
    );
    out += &operations(report);
    if !report.layers.is_empty() {
        out += "\n\n";
        out += &layers(&report.layers);
    }
    out + "\n\nroof: which of peak and memory binds at this many FLOPs a byte; cache: bytes move faster than memory could\n"
}

fn table(header: &[&str], left: usize) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header);
    table.column_iter_mut().skip(left).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

fn operations(report: &Report) -> String {
    let header = [
        "operation",
        "shape",
        "types",
        "roof",
        "calls",
        "us",
        "%",
        "GFLOP/s",
        "% of peak",
        "GB/s",
        "% of memory",
        "FLOP/byte",
    ];
    let mut table = table(&header, 4);
    for row in &report.operations {
        let Row { calls, time_us, share_percent, gflops, peak_percent, gbs, memory_percent, intensity, .. } = row;
        let flops = |text: String| if *gflops > 0.0 { text } else { String::new() };
        table.add_row([
            row.operation.to_owned(),
            row.shape.clone(),
            row.types.clone(),
            row.roof.to_owned(),
            calls.to_string(),
            format!("{time_us:.1}"),
            format!("{share_percent:.1}"),
            flops(format!("{gflops:.1}")),
            flops(format!("{peak_percent:.1}")),
            format!("{gbs:.1}"),
            format!("{memory_percent:.1}"),
            flops(format!("{intensity:.1}")),
        ]);
    }
    table.trim_fmt()
}

fn layers(layers: &[Layer]) -> String {
    let mut table = table(&["layer", "us", "%", "self-attention", "feed-forward", "norms", "GFLOP/s", "% of peak"], 0);
    for layer in layers {
        let Layer { layer, time_us, share_percent, self_attention_us, feed_forward_us, norms_us, gflops, peak_percent } =
            layer;
        let mut row = vec![layer.to_string()];
        let numbers = [time_us, share_percent, self_attention_us, feed_forward_us, norms_us, gflops, peak_percent];
        row.extend(numbers.map(|x| format!("{x:.1}")));
        table.add_row(row);
    }
    table.trim_fmt()
}
