//! Spans as a file in the trace event format, which Perfetto and Chrome's `about:tracing` open.

use selfattn::profile::Span;
use serde_json::{Value, json};

use super::report::{Report, sizes, types};
use crate::error::{Failure, Result};

/// The process that all threads are of.
const PROCESS: u32 = 1;

/// A complete event ("ph": "X") for each span, a track for each thread.
pub fn json(spans: &[Span], report: &Report) -> Result<String> {
    let origin = spans.iter().map(|span| span.start).min().unwrap_or_default();
    let mut threads: Vec<u32> = spans.iter().map(|span| span.thread).collect();
    threads.sort_unstable();
    threads.dedup();
    let mut events = vec![metadata("process_name", 0, &format!("selfattn: {}", report.heading()))];
    let name = |thread: u32| if thread == 0 { "caller".to_owned() } else { format!("worker {thread}") };
    events.extend(threads.into_iter().map(|thread| metadata("thread_name", thread, &name(thread))));
    events.extend(spans.iter().map(|span| event(span, origin)));
    let trace = json!({"traceEvents": events, "displayTimeUnit": "ns", "otherData": {
        "cpu": report.cpu, "level": report.level, "model": report.model, "tokens": report.tokens,
        "peak_gflops": report.roofs.peak_gflops, "memory_gbs": report.roofs.memory_gbs,
    }});
    serde_json::to_string(&trace).map_err(|error| Failure::failed(format!("the trace cannot be written: {error}")))
}

fn metadata(what: &str, thread: u32, name: &str) -> Value {
    json!({"ph": "M", "name": what, "pid": PROCESS, "tid": thread, "args": {"name": name}})
}

fn event(span: &Span, origin: u64) -> Value {
    // The format's unit is a microsecond.
    let us = |ns: u64| ns as f64 / 1e3;
    json!({
        "ph": "X", "cat": if span.operation.is_block() { "block" } else { "operation" },
        "name": span.operation.name(), "pid": PROCESS, "tid": span.thread,
        "ts": us(span.start - origin), "dur": us(span.ticks()),
        "args": {
            "shape": sizes(span), "types": types(span), "level": span.level.name(), "layer": span.layer,
            "flops": span.flops, "bytes_read": span.read, "bytes_written": span.written,
        },
    })
}
