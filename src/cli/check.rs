//! `n2n-gpu check`.

use n2n_gpu::check::{Outcome, TOLERANCE, cases, cooperative_cases, with_cooperative_matrices};
use n2n_gpu::device::Device;
use n2n_gpu::graph::Precision;
use serde_json::json;

use super::Common;
use super::output::Output;

pub(super) fn run(common: &Common) -> anyhow::Result<Output> {
    let device = common.open()?;
    let mut outcomes = Vec::new();
    common.remark(&format!(
        "{:>9}  {:<8} case   (normalised mean square error on {}, at most {TOLERANCE:e}; f16: 2^-22 times the ops squared)",
        "error",
        "result",
        device.name()
    ));
    let mut with = Vec::new();
    for precision in [Precision::F32, Precision::F16] {
        let found = if let Device::Gpu(gpu) = &device { with_cooperative_matrices(gpu, precision)? } else { None };
        with.extend(found.map(|(gpu, _)| (Device::Gpu(gpu), precision)));
    }
    let all = cases().into_iter().map(|case| (case, &device)).filter(|(case, device)| case.suits(device));
    let cooperative =
        with.iter().flat_map(|(device, precision)| cooperative_cases(*precision).into_iter().map(move |case| (case, device)));
    for (case, device) in all.chain(cooperative) {
        let outcome = case.run(device)?;
        let verdict = if outcome.passed() { "" } else { "   FAILED" };
        common.remark(&format!("{:9.1e}  {:<8} {}{verdict}", outcome.error, outcome.output, outcome.case));
        outcomes.push(outcome);
    }
    let failed: Vec<_> = outcomes.iter().filter(|o| !o.passed()).collect();
    // The closest to its tolerance; NaN is worse than any number.
    let rank = |o: &Outcome| if o.error.is_nan() { f64::INFINITY } else { o.error / o.tolerance };
    let worst = outcomes.iter().max_by(|a, b| rank(a).total_cmp(&rank(b)));
    let describe = |o: &Outcome| json!({"case": o.case, "output": o.output, "error": o.error.is_finite().then_some(o.error), "tolerance": o.tolerance});
    let worst_error = worst.map_or(0.0, |w| w.error);
    let output = Output::new(
        json!({
            "device": device.name(), "cases": outcomes.len(), "failed": failed.len(), "worst": worst.map(describe),
            "tolerance": TOLERANCE, "failures": failed.iter().map(|o| describe(o)).collect::<Vec<_>>(),
        }),
        format!(
            "{}: {} cases, {} failed, worst error {worst_error:.1e} of {:.1e}",
            device.name(),
            outcomes.len(),
            failed.len(),
            worst.map_or(TOLERANCE, |w| w.tolerance)
        ),
    );
    if failed.is_empty() {
        return Ok(output);
    }
    let (count, all) = (failed.len(), outcomes.len());
    Ok(output.failed(format!("{count} of {all} cases failed on {}: do not train on this device", device.name()), 1))
}
