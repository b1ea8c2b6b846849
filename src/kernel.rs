//! Kernels: the WGSL programs of `shaders/`, one per file.
//! Bindings, their access and the constants a kernel is specialised by are declared in the WGSL alone and read back
//! here by naga; nothing repeats them in Rust.

mod runtime;
mod variant;

pub use runtime::RuntimeConstant;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::limits::{Feature, Matrices};

macro_rules! shaders {
    ($($shader:ident $name:literal $([$feature:ident])?),* $(,)?) => {
        /// A file of `shaders/`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Shader {
            $(#[doc = concat!("`", $name, ".wgsl`")] #[serde(rename = $name)] $shader),*
        }

        impl Shader {
            /// All of them, by name.
            pub const ALL: &[Self] = &[$(Self::$shader),*];

            /// Name of the file, without its ending.
            pub fn name(self) -> &'static str {
                match self { $(Self::$shader => $name),* }
            }

            fn text(self) -> &'static str {
                match self { $(Self::$shader => include_str!(concat!("../shaders/", $name, ".wgsl"))),* }
            }

            /// What a device must be able to do to run any variant of it.
            fn features(self) -> &'static [Feature] {
                match self { $(Self::$shader => &[$(Feature::$feature)?]),* }
            }
        }
    };
}

shaders! {
    Accumulate "accumulate",
    Adam "adam",
    Add "add",
    Batch "batch",
    BatchNorm "batch_norm",
    BatchNormRunning "batch_norm_running",
    Blur "blur",
    CameraCompress "camera_compress",
    CameraDecompress "camera_decompress",
    CameraDevelop "camera_develop",
    CameraSense "camera_sense",
    ChannelSum "channel_sum",
    Conv2d "conv2d",
    Conv2dCoop "conv2d_coop" [CooperativeMatrix],
    Conv2dDirect "conv2d_direct",
    Conv2dDw "conv2d_dw",
    Conv2dDwCoop "conv2d_dw_coop" [CooperativeMatrix],
    Conv2dDwDirect "conv2d_dw_direct",
    Conv2dDx "conv2d_dx",
    Conv2dDxCoop "conv2d_dx_coop" [CooperativeMatrix],
    Conv2dDxDirect "conv2d_dx_direct",
    Conv2dDxTiny "conv2d_dx_tiny",
    Conv2dTiny "conv2d_tiny",
    Copy "copy",
    Desaturate "desaturate",
    Fma "fma",
    Fold "fold",
    GroupNorm "group_norm",
    GroupNormDx "group_norm_dx",
    GroupNormStats "group_norm_stats",
    GroupNormSums "group_norm_sums",
    LeakyRelu "leaky_relu",
    LeakyReluDx "leaky_relu_dx",
    LineBuffer "line_buffer",
    Loss "loss",
    LossDx "loss_dx",
    MaxPool "max_pool",
    MaxPoolDx "max_pool_dx",
    Neighbours "neighbours",
    Sgd "sgd",
    Sigmoid "sigmoid",
    SigmoidDx "sigmoid_dx",
    SumPartials "sum_partials",
    SumSeveral "sum_several",
    SumSquares "sum_squares",
    Unfold "unfold",
    Upsample "upsample",
    UpsampleDx "upsample_dx",
    WeightDecay "weight_decay",
    WhiteNoise "white_noise",
}

macro_rules! library {
    ($($name:literal),* $(,)?) => {
        /// Text that kernels share: a line `//#import rng` stands for `shaders/lib/rng.wgsl`.
        const LIBRARY: &[(&str, &str)] = &[$(($name, include_str!(concat!("../shaders/lib/", $name, ".wgsl")))),*];
    };
}

library!(
    "at_dx",
    "at_dy",
    "at_x",
    "at_y",
    "camera",
    "columns",
    "conv",
    "coop",
    "count",
    "direct",
    "direct_sums",
    "down",
    "elementwise",
    "filter_gradient",
    "finish",
    "fragments",
    "groups",
    "length",
    "loss",
    "multiply",
    "noise",
    "norm_gradient",
    "optimizer",
    "outer",
    "phase",
    "phase_window",
    "poisson",
    "pu",
    "reduce",
    "registers",
    "rng",
    "scalar_fragments",
    "sizes",
    "stages",
    "taps",
    "tile",
    "window",
);

/// A kernel: a file, and which variant of it. Prints as `conv2d`, `conv2d f16:x,y`, `conv2d_coop f16:x,y pairs:x 8x8
/// scalars` or `conv2d shared`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KernelId {
    /// Its file.
    pub shader: Shader,
    /// Bit i: the elements of binding i are in half precision.
    halves: u32,
    /// Bit i: and they are read two at a time.
    pairs: u32,
    /// Its cooperative matrices, if it has any.
    matrices: Matrices,
    /// Whether it reads at run time what its file marks so.
    shared: bool,
}

impl From<Shader> for KernelId {
    fn from(shader: Shader) -> Self {
        Self { shader, halves: 0, pairs: 0, matrices: Matrices::default(), shared: false }
    }
}

impl KernelId {
    /// The variant in which those bindings, counted in the order of [`Kernel::bindings`], are in half precision.
    #[must_use]
    pub fn with_halves(self, bindings: impl IntoIterator<Item = usize>) -> Self {
        Self { halves: bindings.into_iter().fold(0, |bits, i| bits | 1 << i), ..self }
    }

    /// The variant that reads the elements of that binding, which are in half precision, two at a time: 128 bits. Those that it
    /// reads must lie at even places, with one behind each.
    #[must_use]
    pub fn with_pairs(self, binding: usize) -> Self {
        Self { pairs: self.pairs | 1 << binding, ..self }
    }

    /// The variant with such cooperative matrices.
    #[must_use]
    pub fn with_matrices(self, matrices: Matrices) -> Self {
        Self { matrices, ..self }
    }

    /// The variant that reads at run time what its file marks so, if it marks anything: many dispatches share its pipelines.
    #[must_use]
    pub fn to_share(self) -> Self {
        Self { shared: kernel(self.shader).source.contains(runtime::MARK), ..self }
    }

    /// Names of the bindings whose bits are set.
    fn names(self, bits: u32) -> impl Iterator<Item = &'static str> {
        let generic = if bits == 0 { &[] } else { &kernel(self.shader).bindings[..] };
        generic.iter().enumerate().filter(move |(i, _)| bits >> i & 1 != 0).map(|(_, b)| b.name.as_str())
    }

    /// What a device must be able to do to run it.
    pub fn features(self) -> impl Iterator<Item = Feature> {
        let half = self.halves != 0 || self.shader.is_cooperative();
        let cooperative = self.shader.is_cooperative().then_some(Feature::CooperativeMatrix);
        half.then_some(Feature::F16).into_iter().chain(cooperative)
    }
}

impl fmt::Display for KernelId {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let named = |what: &str, bits: u32| {
            let names: Vec<_> = self.names(bits).collect();
            if names.is_empty() { String::new() } else { format!(" {what}:{}", names.join(",")) }
        };
        let (half, pairs) = (named("f16", self.halves), named("pairs", self.pairs));
        let Matrices { side, wide, scalars } = self.matrices;
        let side = if side == Matrices::default().side { String::new() } else { format!(" {side}x{side}") };
        let wide = if wide { " f32" } else { "" };
        let scalars = if scalars { " scalars" } else { "" };
        let shared = if self.shared { " shared" } else { "" };
        f.pad(&format!("{}{half}{pairs}{side}{wide}{scalars}{shared}", self.shader.name()))
    }
}

impl Shader {
    /// Whether it computes on cooperative matrices.
    pub fn is_cooperative(self) -> bool {
        self.features().contains(&Feature::CooperativeMatrix)
    }
}

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
    /// Which one.
    pub id: KernelId,
    /// Whole text, imports resolved.
    pub source: String,
    /// Buffers it binds.
    pub bindings: Vec<Binding>,
    /// Names of the `override` constants that specialise it; those that follow from others have their value in the file.
    pub constants: Vec<String>,
    /// What it reads at run time instead, in this order, from a uniform buffer that is bound behind all others.
    pub runtime: Vec<RuntimeConstant>,
    /// The parsed program.
    pub module: naga::Module,
}

/// The kernel of that file or variant, parsed once.
pub fn kernel(id: impl Into<KernelId>) -> &'static Kernel {
    static KERNELS: Mutex<BTreeMap<KernelId, &'static Kernel>> = Mutex::new(BTreeMap::new());
    let known = || KERNELS.lock().unwrap_or_else(PoisonError::into_inner);
    let id = id.into();
    let found = known().get(&id).copied();
    // As many as there are files and variants of theirs: they live as long as the program. Two threads may parse one at once.
    found.unwrap_or_else(|| {
        let parsed = Kernel::parse(id);
        known().entry(id).or_insert_with(|| Box::leak(Box::new(parsed)))
    })
}

impl Kernel {
    /// Writes the variant's text and parses it.
    ///
    /// # Panics
    /// If the file is no WGSL or does not have what the variant changes: mistakes of ours.
    fn parse(id: KernelId) -> Self {
        let mut source = variant::text(id);
        let mut runtime = Vec::new();
        if id.shared {
            (source, runtime) = runtime::shared(&source, kernel(id.shader).bindings.len());
        }
        let module = naga::front::wgsl::parse_str(&source).unwrap_or_else(|e| panic!("{id}: {}", e.emit_to_string(&source)));
        let mut bindings = BTreeMap::new();
        for (_, v) in module.global_variables.iter() {
            if let (Some(at), naga::AddressSpace::Storage { access }) = (v.binding, v.space) {
                let writes = access.contains(naga::StorageAccess::STORE);
                let name = v.name.clone().unwrap_or_default();
                bindings.insert(at.binding, Binding { name, writes });
            }
        }
        let given = module.overrides.iter().filter(|(_, o)| o.init.is_none());
        let constants = given.filter_map(|(_, o)| o.name.clone()).collect();
        Self { id, source, bindings: bindings.into_values().collect(), constants, runtime, module }
    }
}

/// What a workgroup takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workgroup {
    /// Its invocations.
    pub invocations: u32,
    /// Its memory, bytes.
    pub bytes: u32,
}

impl Kernel {
    /// What a workgroup takes where the constants have those values; which of them counts, the WGSL says.
    pub fn workgroup(&self, constants: &[(&str, f64)]) -> Workgroup {
        let entry = &self.module.entry_points[0];
        let sizes = entry.workgroup_size_overrides.unwrap_or_default();
        let size = |i: usize| sizes[i].map_or(entry.workgroup_size[i], |e| self.evaluate(e, constants) as u32);
        let shared = self.module.global_variables.iter().filter(|(_, v)| v.space == naga::AddressSpace::WorkGroup);
        let bytes = shared.map(|(_, v)| match self.module.types[v.ty].inner {
            naga::TypeInner::Array { size: naga::ArraySize::Pending(count), stride, .. } => {
                stride * self.override_value(count, constants) as u32
            }
            ref inner => inner.size(self.module.to_ctx()),
        });
        // As WebGPU counts it.
        Workgroup { invocations: (0..3).map(size).product(), bytes: bytes.map(|b| b.next_multiple_of(16)).sum() }
    }

    /// The value of a constant that no device chooses: `const NAME = ...;`.
    #[cfg(test)]
    pub(crate) fn constant(&self, name: &str) -> Option<f64> {
        let found = self.module.constants.iter().find(|(_, constant)| constant.name.as_deref() == Some(name))?;
        Some(self.evaluate(found.1.init, &[]))
    }

    fn override_value(&self, of: naga::Handle<naga::Override>, constants: &[(&str, f64)]) -> f64 {
        let of = &self.module.overrides[of];
        let given = of.name.as_deref().and_then(|name| constants.iter().find(|(n, _)| *n == name));
        given.map(|(_, v)| *v).or_else(|| of.init.map(|e| self.evaluate(e, constants))).unwrap_or_else(|| {
            panic!("{}: no value for {:?}", self.id, of.name);
        })
    }

    /// A constant expression of whole numbers.
    fn evaluate(&self, e: naga::Handle<naga::Expression>, constants: &[(&str, f64)]) -> f64 {
        use naga::{BinaryOperator as Op, Expression, Literal};
        match self.module.global_expressions[e] {
            Expression::Literal(Literal::U32(v)) => v.into(),
            Expression::Literal(Literal::I32(v)) => v.into(),
            Expression::Literal(Literal::AbstractInt(v)) => v as f64,
            Expression::Constant(c) => self.evaluate(self.module.constants[c].init, constants),
            Expression::Override(o) => self.override_value(o, constants),
            Expression::Binary { op, left, right } => {
                let (a, b) = (self.evaluate(left, constants), self.evaluate(right, constants));
                match op {
                    Op::Add => a + b,
                    Op::Subtract => a - b,
                    Op::Multiply => a * b,
                    Op::Divide => (a / b).floor(),
                    _ => panic!("{}: {op:?} in the size of a workgroup", self.id),
                }
            }
            ref other => panic!("{}: {other:?} in the size of a workgroup", self.id),
        }
    }
}

/// A text with library texts in the place of its imports, which may import others.
fn with_imports(shader: Shader, text: &str) -> String {
    let resolved = text.lines().map(|line| match line.strip_prefix("//#import ") {
        Some(part) => {
            let found = LIBRARY.iter().find(|(name, _)| *name == part.trim());
            let (_, text) = found.unwrap_or_else(|| panic!("{}.wgsl: no library text {part}", shader.name()));
            with_imports(shader, text.trim_end())
        }
        None => line.to_owned(),
    });
    resolved.collect::<Vec<_>>().join("\n")
}
