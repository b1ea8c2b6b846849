//! `n2n-gpu devices`.

use std::fmt::Write;

use n2n_gpu::device::ranked;
use n2n_gpu::gpu;
use serde_json::{Value, json};

use super::Common;
use super::output::Output;

pub(super) fn run(common: &Common) -> anyhow::Result<Output> {
    if !common.device.eq_ignore_ascii_case("auto") {
        common.select()?;
    }
    let adapters = gpu::adapters();
    let auto = ranked(&adapters).first().copied();
    let mut text = String::new();
    let mut list: Vec<Value> = Vec::new();
    for (i, a) in adapters.iter().enumerate() {
        let mib = |bytes: u64| bytes >> 20;
        let features = a.features.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let mark = if auto == Some(i) { "  <- auto" } else { "" };
        let _ = writeln!(text, "{i:>3}  {} ({}, {}){mark}", a.name, a.backend, a.kind);
        let _ = writeln!(
            text,
            "     {}; buffers up to {} MiB, bindings {} MiB, {} invocations, {} KiB workgroup memory; {}",
            a.driver,
            mib(a.limits.buffer_bytes),
            mib(a.limits.binding_bytes),
            a.limits.invocations,
            a.limits.workgroup_bytes >> 10,
            if features.is_empty() { "no optional features" } else { &features }
        );
        let mut value = json!(a);
        value["index"] = json!(i);
        value["auto"] = json!(auto == Some(i));
        list.push(value);
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let _ = writeln!(text, "cpu  the built-in CPU executor ({threads} threads){}", if auto.is_none() { "  <- auto" } else { "" });
    list.push(json!({"index": "cpu", "name": "cpu", "kind": "cpu", "threads": threads, "auto": auto.is_none()}));
    Ok(Output::new(json!({"devices": list, "auto": auto.map_or(json!("cpu"), |i| json!(i))}), text))
}
