//! Plans: memory that is shared without conflict, tables that are complete, and runs that repeat to the bit.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use n2n_gpu::check::{self, Case};
use n2n_gpu::device::Device;
use n2n_gpu::graph::{Graph, Role};
use n2n_gpu::kernel::kernel;
use n2n_gpu::limits::{Feature, Limits};
use n2n_gpu::nets::{EpflResunet, EpflUnet, Modules, Network, Norm};
use n2n_gpu::ops::{Loss, Update};
use n2n_gpu::plan::{Plan, Step};
use n2n_gpu::profile;
use n2n_gpu::train::{Example, Rule, record_step};
use std::sync::Arc;

fn plan(case: &Case) -> Arc<Plan> {
    Plan::new(case.graph().clone(), Some(&Limits::default())).unwrap()
}

/// A step of the first report's network.
fn large() -> Case {
    check::training_step(Norm::None, 48, 5, [4, 64, 64], Update::ADAM)
}

fn all() -> Vec<Case> {
    check::cases().into_iter().chain([large()]).collect()
}

#[test]
fn no_two_live_intermediates_share_a_slot() {
    for case in all() {
        assert_eq!(plan(&case).conflicts(), [], "{}", case.name);
        let cpu = Plan::new(case.graph().clone(), None).unwrap();
        assert_eq!(cpu.conflicts(), [], "{} on the CPU", case.name);
    }
}

/// The same law without the planner's own lifetimes: follow who wrote each slot last, node by node.
#[test]
fn every_read_finds_what_was_written_for_it() {
    for case in all() {
        let plan = plan(&case);
        let mut owners = BTreeMap::new();
        for node in plan.graph.nodes() {
            let shared = |t| {
                let storage = plan.graph.view(t).storage;
                (plan.graph.storage(storage).role == Role::Intermediate).then_some((plan.slot_of[storage.0], storage))
            };
            for (slot, storage) in node.inputs.iter().filter_map(|&t| shared(t)) {
                let name = &plan.graph.storage(storage).name;
                assert_eq!(owners.get(&slot), Some(&storage), "{}: {name} is not in its slot any more", case.name);
            }
            owners.extend(node.outputs.iter().filter_map(|&t| shared(t)));
        }
    }
}

#[test]
fn sharing_slots_saves_a_third_of_the_memory_of_a_training_step() {
    // Of a size whose pictures outweigh the partial sums of gradients.
    let plan = plan(&check::training_step(Norm::None, 48, 5, [16, 128, 128], Update::ADAM));
    let (shared, unshared) = (plan.intermediate_bytes(), plan.unshared_bytes());
    assert!(shared * 3 <= unshared * 2, "{shared} of {unshared} bytes");
}

/// How often a dispatch waits for all before it. As wgpu tracks them: a buffer that was written is bound, or one that was in use
/// is written.
fn waits(plan: &Plan) -> usize {
    let mut written = BTreeMap::new();
    let mut waits = 0;
    for step in &plan.steps {
        let mut bound = BTreeMap::new();
        for ((slot, ..), binding) in step.bindings.iter().zip(&kernel(step.kernel).bindings) {
            *bound.entry(*slot).or_insert(false) |= binding.writes;
        }
        waits += usize::from(bound.iter().any(|(slot, writes)| written.get(slot).is_some_and(|before| *before || *writes)));
        written.extend(bound);
    }
    waits
}

/// 33 convolutions with all gradients, sums over splits included.
#[test]
fn a_training_step_of_the_first_reports_network_takes_few_dispatches_and_waits_for_fewer() {
    for (shared, dispatches, most) in [(false, 120, 80), (true, 160, 130)] {
        let mut g = Graph::new();
        let [x, t] = ["x", "t"].map(|name| g.host_picture(name, [30, 32, 32], 3));
        let y = EpflUnet { shared, ..EpflUnet::default() }.record(&mut Modules::new(&mut g, true), x);
        let loss = g.mse(y, t);
        let one = g.one();
        g.backward(&[(loss, one)]);
        g.optimize(loss, Update::ADAM, 1.0);
        let plan = Plan::new(g, Some(&Limits::default())).unwrap();
        let (steps, waits) = (plan.steps.len(), waits(&plan));
        assert!(steps <= dispatches && waits <= most, "{steps} dispatches, {waits} of which wait; blocks shared: {shared}");
    }
}

/// Each is compiled for about a third of a second on a software adapter, by one thread.
#[test]
fn a_training_step_on_a_software_adapter_takes_few_pipelines() {
    let mut g = Graph::new();
    let [x, t] = ["x", "t"].map(|name| g.host_picture(name, [2, 32, 32], 3));
    let example = Example { x, t, mask: None };
    record_step(&mut g, &EpflUnet::default(), example, Rule { loss: Loss::L2, update: Update::ADAM, clip: 1.0, pieces: 0 });
    let pipelines = |shared| {
        let software = Limits { invocations: 1024, workgroup_bytes: 32 << 10, shared, ..Limits::default() }.software();
        let plan = Plan::new(g.clone(), Some(&software)).unwrap();
        let key = |s: &Step| (s.kernel, s.constants.iter().map(|(_, v)| v.to_bits()).collect::<Vec<_>>());
        let distinct = plan.steps.iter().map(key).collect::<BTreeSet<_>>().len();
        (plan.steps.len(), distinct)
    };
    let ((all, few), (as_many, many)) = (pipelines(true), pipelines(false));
    assert!(all == as_many && few <= 20 && many > 100, "{few} and {many} pipelines for {all} and {as_many} dispatches");
}

/// Normalisations, sums and activations are not kept for gradients, but what they are made of.
#[test]
fn what_is_cheap_is_computed_again_for_gradients() {
    let count = |g: &Graph, name: &str| g.nodes().iter().filter(|n| n.op.name() == name).count();
    let mut g = Graph::new();
    let x = g.host_picture("x", [2, 32, 32], 3);
    let y = EpflResunet::default().record(&mut Modules::new(&mut g, true), x);
    let forward = g.clone();
    let loss = g.mse(y, x);
    let one = g.one();
    g.backward(&[(loss, one)]);
    assert_eq!(count(&g, "group_norm"), 2 * count(&forward, "group_norm"));
    // The last use of what a normalisation made is in the forward pass, where its copy is not used yet.
    let last_use = |t| g.nodes().iter().rposition(|n| n.inputs.contains(&t));
    for node in forward.nodes().iter().filter(|n| n.op.name() == "group_norm") {
        assert!(
            last_use(node.outputs[0]).unwrap() < forward.nodes().len(),
            "{}",
            g.storage(g.view(node.outputs[0]).storage).name
        );
    }
}

/// Times of all parts, and what they are of.
#[test]
fn a_profile_has_a_time_for_every_dispatch() {
    for device in common::adapters().into_iter().chain([Device::Cpu]) {
        let mut executor = device.prepare(large().graph().clone()).unwrap();
        let Some(parts) = profile::parts(executor.as_mut(), 1).unwrap() else {
            let Device::Gpu(gpu) = &device else { panic!("the CPU can be timed") };
            assert!(!gpu.adapter.features.contains(&Feature::Timestamp), "{} has timestamps", device.name());
            continue;
        };
        let plan = executor.plan();
        let all = if plan.steps.is_empty() { plan.graph.nodes().len() } else { plan.steps.len() };
        assert_eq!(parts.len(), all, "{}", device.name());
        assert!(parts.iter().all(|p| p.ms >= 0.0 && p.bytes > 0.0), "{}", device.name());
        let flops: f64 = parts.iter().map(|p| p.flops).sum();
        assert_eq!(flops, plan.graph.flops(), "{}", device.name());
    }
}

#[test]
fn no_dispatch_reads_a_slot_that_it_writes() {
    for case in all() {
        let plan = plan(&case);
        for step in &plan.steps {
            let bound: Vec<_> = step.bindings.iter().zip(&kernel(step.kernel).bindings).collect();
            assert_eq!(bound.len(), kernel(step.kernel).bindings.len());
            for (i, ((slot, offset, len), binding)) in bound.iter().enumerate() {
                // Two results may lie in one slot, as the gradients of a filter and its bias do, side by side.
                let again = bound.iter().enumerate().any(|(j, ((other, at, more), b))| {
                    i != j && other == slot && !(b.writes && (offset + len <= *at || at + more <= *offset))
                });
                assert!(!(binding.writes && again), "{}: {} writes {} and binds it again", case.name, step.kernel, binding.name);
            }
        }
    }
}

#[test]
fn the_table_of_a_plan_has_a_line_for_every_dispatch() {
    let plan = plan(&check::training_step(Norm::Group, 16, 2, [2, 16, 16], Update::ADAM));
    let table = plan.to_string();
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines.len(), plan.steps.len() + 2, "a head, the dispatches, and the memory");
    for (line, step) in lines[1..].iter().zip(&plan.steps) {
        assert!(line.contains(&step.kernel.to_string()), "{line}");
    }
    assert!(lines.last().unwrap().contains("MiB"));
}

/// A validation, or the next picture, waits for nothing that is there already.
#[test]
fn a_second_plan_compiles_only_what_is_new() {
    for gpu in common::gpus() {
        let device = Device::Gpu(gpu.clone());
        let after = |case: &Case| {
            device.prepare(case.graph().clone()).unwrap();
            gpu.compiled()
        };
        let small = check::elementwise([2, 5, 7], [5, 3]);
        let [modules, pipelines] = after(&small);
        assert!(modules > 0 && pipelines >= modules);
        assert_eq!(after(&small), [modules, pipelines], "the same again");
        let [same, more] = after(&check::elementwise([1, 6, 8], [5, 3]));
        let shared = gpu.adapter.limits.shared;
        assert!(
            same == modules && (more > pipelines) != shared,
            "another size has constants of its own, which shared kernels read"
        );
        // Shaders that check their bounds are others.
        let mut checked = gpu.clone();
        checked.checked = true;
        Device::Gpu(checked).prepare(small.graph().clone()).unwrap();
        assert_eq!(gpu.compiled(), [2 * modules, more + pipelines]);
    }
}

/// All results, to the bit, of three runs from the case's inputs.
fn bits(case: &Case, device: &Device) -> Vec<(&'static str, Vec<u32>)> {
    let mut executor = device.prepare(case.graph().clone()).unwrap();
    case.floats.iter().for_each(|(id, data)| executor.write(*id, data).unwrap());
    case.ints.iter().for_each(|(id, data)| executor.write_ints(*id, data).unwrap());
    for _ in 0..3 {
        executor.run().unwrap();
    }
    case.outputs.iter().map(|&(name, id)| (name, executor.read(id).unwrap().iter().map(|v| v.to_bits()).collect())).collect()
}

#[test]
fn training_twice_from_the_same_state_gives_the_same_bits() {
    let case = check::training_step(Norm::Group, 16, 2, [2, 16, 16], Update::ADAM);
    for device in std::iter::once(Device::Cpu).chain(common::adapters()) {
        assert!(bits(&case, &device) == bits(&case, &device), "{}", device.name());
    }
}

#[test]
fn training_on_the_cpu_gives_the_same_bits_with_any_number_of_threads() {
    for norm in [Norm::None, Norm::Group] {
        let case = check::training_step(norm, 16, 2, [2, 48, 32], Update::ADAM);
        let with = |n: usize| {
            let threads = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
            threads.install(|| bits(&case, &Device::Cpu))
        };
        assert!(with(1) == with(3), "{norm:?}");
    }
}
