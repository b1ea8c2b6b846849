//! Kernels: the WGSL programs of `shaders/`, one per file, and what the planner may know of an adapter.
//!
//! Bindings, their access and the constants a kernel is specialised by are declared in the WGSL alone and read back
//! here by naga; nothing repeats them in Rust.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use serde::{Deserialize, Serialize};

macro_rules! shaders {
    ($($name:literal),* $(,)?) => {
        const SHADERS: &[(&str, &str)] = &[$(($name, include_str!(concat!("../shaders/", $name, ".wgsl")))),*];
    };
}

shaders!(
    "adam",
    "add",
    "batch",
    "batch_norm",
    "batch_norm_running",
    "blur",
    "channel_sum",
    "conv2d",
    "conv2d_coop",
    "conv2d_dw",
    "conv2d_dw_coop",
    "conv2d_dx",
    "conv2d_dx_coop",
    "conv2d_dx_tiny",
    "conv2d_tiny",
    "copy",
    "fma",
    "fold",
    "group_norm",
    "group_norm_dx",
    "group_norm_stats",
    "group_norm_sums",
    "leaky_relu",
    "leaky_relu_dx",
    "line_buffer",
    "loss",
    "loss_dx",
    "max_pool",
    "max_pool_dx",
    "sgd",
    "sigmoid",
    "sigmoid_dx",
    "sum_partials",
    "sum_squares",
    "unfold",
    "upsample",
    "upsample_dx",
    "white_noise",
);

/// Text that kernels share: a line `//#import rng` stands for `shaders/lib/rng.wgsl`.
const LIBRARY: &[(&str, &str)] = &[
    ("columns", include_str!("../shaders/lib/columns.wgsl")),
    ("conv", include_str!("../shaders/lib/conv.wgsl")),
    ("coop", include_str!("../shaders/lib/coop.wgsl")),
    ("finish", include_str!("../shaders/lib/finish.wgsl")),
    ("noise", include_str!("../shaders/lib/noise.wgsl")),
    ("norm_gradient", include_str!("../shaders/lib/norm_gradient.wgsl")),
    ("optimizer", include_str!("../shaders/lib/optimizer.wgsl")),
    ("phase", include_str!("../shaders/lib/phase.wgsl")),
    ("registers", include_str!("../shaders/lib/registers.wgsl")),
    ("rng", include_str!("../shaders/lib/rng.wgsl")),
    ("tile", include_str!("../shaders/lib/tile.wgsl")),
];

/// A storage buffer that a kernel binds in group 0, in the order of its binding number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Name of the variable in the WGSL.
    pub name: String,
    /// Whether the kernel writes it (`var<storage, read_write>`).
    pub writes: bool,
}

/// A WGSL compute program with the entry point `main`.
#[derive(Debug)]
pub struct Kernel {
    /// Name of its file in `shaders/`, without the ending; then, of a variant for half precision, the bindings that are in it:
    /// `conv2d f16:x,y`; then whether its cooperative matrices are small: `conv2d_coop f16:x,y 8x8`.
    pub name: &'static str,
    /// Whole text, imports resolved.
    pub source: String,
    /// Buffers it binds.
    pub bindings: Vec<Binding>,
    /// Names of the `override` constants that specialise it.
    pub constants: Vec<String>,
    /// The parsed program.
    pub module: naga::Module,
}

impl Kernel {
    /// The kernel of that text; the elements of the bindings in `halves` are in half precision, for which the text has an alias:
    /// `alias x_t = vec4f;` for those of x.
    fn parse(name: &'static str, text: &str, halves: &[&str]) -> Self {
        let mut source = text
            .lines()
            .map(|line| match line.strip_prefix("//#import ") {
                Some(part) => LIBRARY
                    .iter()
                    .find(|(n, _)| *n == part.trim())
                    .unwrap_or_else(|| panic!("{name}.wgsl: no library text {part}"))
                    .1
                    .trim_end(),
                None => line,
            })
            .collect::<Vec<_>>()
            .join("\n");
        let alias = |binding: &str, element: &str| format!("alias {binding}_t = {element};");
        for half in halves {
            source = source
                .replace(&alias(half, "vec4f"), &alias(half, "vec4<f16>"))
                .replace(&alias(half, "f32"), &alias(half, "f16"));
            assert!(
                ["vec4<f16>", "f16"].iter().any(|e| source.contains(&alias(half, e))),
                "{name}: {half} cannot be in half precision"
            );
        }
        if name.ends_with(SMALL) {
            source = source.replace("const SIDE = 16u;", "const SIDE = 8u;").replace("coop_mat16x16", "coop_mat8x8");
        }
        if !halves.is_empty() {
            source.insert_str(0, "enable f16;\n");
        }
        let module =
            naga::front::wgsl::parse_str(&source).unwrap_or_else(|e| panic!("{name}.wgsl: {}", e.emit_to_string(&source)));
        let mut bindings = BTreeMap::new();
        for (_, v) in module.global_variables.iter() {
            if let (Some(at), naga::AddressSpace::Storage { access }) = (v.binding, v.space) {
                let writes = access.contains(naga::StorageAccess::STORE);
                let name = v.name.clone().unwrap_or_default();
                bindings.insert(at.binding, Binding { name, writes });
            }
        }
        let constants = module.overrides.iter().filter_map(|(_, o)| o.name.clone()).collect();
        Self { name, source, bindings: bindings.into_values().collect(), constants, module }
    }
}

/// What stands between a kernel's name and the bindings of a variant that are in half precision.
const HALF: &str = " f16:";
/// What a variant with small cooperative matrices ends in.
const SMALL: &str = " 8x8";

/// The kernel of that name, or its variant: see [`Kernel::name`].
///
/// # Panics
/// If there is none: names come from our own code.
pub fn kernel(name: &str) -> &'static Kernel {
    static VARIANTS: Mutex<BTreeMap<String, &'static Kernel>> = Mutex::new(BTreeMap::new());
    let whole = name.strip_suffix(SMALL).unwrap_or(name);
    let (file, halves) = whole.split_once(HALF).unwrap_or((whole, ""));
    if file == name {
        return kernels().iter().find(|k| k.name == name).unwrap_or_else(|| panic!("no kernel named {name}"));
    }
    let mut variants = VARIANTS.lock().unwrap_or_else(PoisonError::into_inner);
    // As many as there are kernels and bindings of theirs: they live as long as the program, as the kernels do.
    variants.entry(name.to_owned()).or_insert_with(|| {
        let (_, text) = SHADERS.iter().find(|(n, _)| *n == file).unwrap_or_else(|| panic!("no kernel named {file}"));
        let halves: Vec<&str> = halves.split(',').filter(|b| !b.is_empty()).collect();
        Box::leak(Box::new(Kernel::parse(name.to_owned().leak(), text, &halves)))
    })
}

/// Name of a kernel's variant in which these bindings are in half precision; `small`: with cooperative matrices of 8 x 8.
pub(crate) fn variant(name: &str, halves: &[&str], small: bool) -> String {
    let half = if halves.is_empty() { String::new() } else { format!("{HALF}{}", halves.join(",")) };
    format!("{name}{half}{}", if small { SMALL } else { "" })
}

/// Name of the file of a kernel or variant.
pub fn base_name(name: &str) -> &str {
    name.split(' ').next().unwrap_or(name)
}

/// All kernels, by name.
pub fn kernels() -> &'static [Kernel] {
    static ALL: OnceLock<Vec<Kernel>> = OnceLock::new();
    ALL.get_or_init(|| SHADERS.iter().map(|(name, text)| Kernel::parse(name, text, &[])).collect())
}

/// What the planner takes into account of an adapter. [`Limits::default`] is what every WebGPU device offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Largest range of a buffer that a kernel can bind, bytes.
    pub binding_bytes: u64,
    /// Largest buffer, bytes.
    pub buffer_bytes: u64,
    /// Most invocations in a workgroup.
    pub invocations: u32,
    /// Workgroup memory, bytes.
    pub workgroup_bytes: u32,
    /// Most workgroups along one dimension of a dispatch.
    pub workgroups: u32,
    /// Workgroups it runs at once, about: fewer leave a part of it idle.
    pub busy: u32,
    /// Cooperative matrices, where the adapter has them and they are wanted.
    pub cooperative: Option<Cooperative>,
}

/// Cooperative matrices of halves that a subgroup multiplies into floats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cooperative {
    /// Invocations of a subgroup.
    pub subgroup: u32,
    /// Rows and columns: 16 or 8.
    pub side: u32,
}

impl Limits {
    /// Of a software adapter, whose workgroups are tasks for a few threads.
    pub const BUSY_SOFTWARE: u32 = 4;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            binding_bytes: 128 << 20,
            buffer_bytes: 256 << 20,
            invocations: 256,
            workgroup_bytes: 16 << 10,
            workgroups: 65535,
            busy: 48,
            cooperative: None,
        }
    }
}

/// Which of the ways that the planner knows for an op it takes, by a key that names op and shape. Without an entry, the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tuning {
    chosen: BTreeMap<String, usize>,
    always: Option<usize>,
}

impl Tuning {
    /// Way number `i` of every op, counted round: to try them all.
    pub fn always(i: usize) -> Self {
        Self { always: Some(i), ..Self::default() }
    }

    /// The way for `key`, one of `count`.
    pub fn choice(&self, key: &str, count: usize, default: usize) -> usize {
        let chosen = self.chosen.get(key).copied().filter(|&i| i < count);
        self.always.map(|i| i % count).or(chosen).unwrap_or(default)
    }

    /// Whether there is an entry for `key`.
    pub fn knows(&self, key: &str) -> bool {
        self.chosen.contains_key(key)
    }

    /// Notes the way to take for `key`.
    pub fn set(&mut self, key: String, way: usize) {
        self.chosen.insert(key, way);
    }

    /// All entries.
    pub fn entries(&self) -> &BTreeMap<String, usize> {
        &self.chosen
    }
}
