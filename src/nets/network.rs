//! What a network is: a value that records itself into a graph. All that can be told from the recorded ops, what sizes must
//! divide by and how far an output pixel sees, is derived from them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Follows, Modules, NETWORKS, Transfer};
use crate::error::{Error, Result};
use crate::graph::{Graph, Tensor};

/// A network. Ours are in the [registry](super::NETWORKS); one of your own gets everything that those get: training with
/// validation, checkpoints and a report, resuming, half precision, strips for large pictures, model files. A function
/// `|modules, x| y` is a network without options.
///
/// ```
/// use n2n_gpu::nets::{Modules, Network};
/// use n2n_gpu::ops::{Activation, Conv};
/// use n2n_gpu::graph::Tensor;
///
/// struct Plain;
///
/// impl Network for Plain {
///     fn name(&self) -> &str {
///         "plain"
///     }
///
///     fn record(&self, net: &mut Modules, x: Tensor) -> Tensor {
///         let y = net.conv2d("conv1", x, 16, Conv::same3(1), Activation::leaky_relu(0.1));
///         net.conv2d("conv2", y, 3, Conv::same3(1), Activation::NONE)
///     }
/// }
/// ```
pub trait Network: Send + Sync {
    /// Name in model files.
    fn name(&self) -> &str;

    /// Options by name, as model files hold them: all that it takes to record the same network again.
    fn options(&self) -> Map<String, Value> {
        Map::new()
    }

    /// Output channels: 3 for colour, 1 for grey.
    fn colours(&self) -> usize {
        3
    }

    /// Channels of what it reads: those of a colour, and of other pictures beside it.
    fn inputs(&self) -> usize {
        self.colours()
    }

    /// Records y (N, H, W, [`Network::colours`]) for pictures x (N, H, W, [`Network::inputs`]), for training or for use as
    /// `modules` says. Recorded for any size that divides by its strides, also very large ones.
    fn record(&self, modules: &mut Modules, x: Tensor) -> Tensor;

    /// Which values it reads and writes: centred ones, unless it says otherwise.
    fn values(&self) -> Values {
        Values::range([-0.5, 0.5])
    }

    /// What values of pictures go through before they are brought to its range.
    fn transfer(&self) -> Transfer {
        Transfer::None
    }

    /// Whether the options are those of a network that can be recorded.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

impl<F: Fn(&mut Modules, Tensor) -> Tensor + Send + Sync> Network for F {
    fn name(&self) -> &'static str {
        "function"
    }

    fn record(&self, modules: &mut Modules, x: Tensor) -> Tensor {
        self(modules, x)
    }
}

impl dyn Network + '_ {
    /// Records it for use on pictures (N, H, W, C) of `shape` (N, H, W): the graph, its input and its output.
    pub fn forward(&self, shape: [usize; 3], c: usize) -> (Graph, Tensor, Tensor) {
        let mut g = Graph::new();
        let x = g.host_picture("x", shape, c);
        let y = self.record(&mut Modules::new(&mut g, false), x);
        (g, x, y)
    }

    /// Refuses features of so many channels beside a colour, unless they are what it reads.
    ///
    /// # Errors
    /// A sentence that says what it reads.
    pub fn check_features(&self, channels: usize) -> Result<()> {
        let (name, reads) = (self.name(), self.inputs().saturating_sub(self.colours()));
        let wanted = match reads {
            _ if reads == channels => return Ok(()),
            0 => {
                let reading = NETWORKS.iter().filter(|entry| entry.following(Follows::All).is_some());
                let names: Vec<&str> = reading.map(|entry| entry.name).collect();
                format!("colours alone: leave the features out, or take {} with more inputs", names.join(" or "))
            }
            3 => "albedo beside the colours: give albedo".to_owned(),
            6 => "albedo and normals beside the colours: give albedo,normal".to_owned(),
            more => format!("{more} channels beside the colours, not {channels}"),
        };
        Err(Error::data(format!("the network {name} reads {wanted}")))
    }

    /// Refuses one that reads other pictures than photographs: colours in sRGB from 0 to 1.
    ///
    /// # Errors
    /// A sentence that says what it reads.
    pub fn check_photographs(&self) -> Result<()> {
        if self.colours() != 3 {
            let name = self.name();
            return Err(Error::data(format!(
                "the network {name} reads grey pictures (channels 1), but photographs have colours: take one of 3"
            )));
        }
        if self.inputs() != 3 {
            return Err(Error::data(format!(
                "the network {} reads {} channels, but photographs have colours alone: take one of 3",
                self.name(),
                self.inputs()
            )));
        }
        match self.transfer() {
            Transfer::None => Ok(()),
            Transfer::Pu => Err(Error::data(format!(
                "the network {} reads linear values of any size (hdr), but photographs are in sRGB from 0 to 1: take one without",
                self.name()
            ))),
        }
    }

    /// Name and options for people: `unet, width 16, levels 3`.
    pub fn describe(&self) -> String {
        let option = |(name, value): (&String, &Value)| match value {
            Value::String(word) => format!(", {name} {word}"),
            value => format!(", {name} {value}"),
        };
        self.name().to_owned() + &self.options().iter().map(option).collect::<String>()
    }
}

/// Options of a network as JSON, by the names of its fields.
///
/// # Panics
/// If they are no struct of plain data.
pub fn options_of(network: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(network) {
        Ok(Value::Object(map)) => map,
        other => panic!("options of a network are no JSON object: {other:?}"),
    }
}

/// Which values a network reads and writes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Values {
    /// What its input is.
    pub input: Input,
    /// What the values 0 and 1 of a picture are in its output.
    pub output: [f32; 2],
}

/// What a network reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Input {
    /// Pictures whose values 0 and 1 are these.
    Range([f32; 2]),
    /// Pictures less the mean of the noisy training pictures, over their standard deviation.
    Normalised,
}

impl Values {
    /// The same range at both ends.
    pub const fn range(range: [f32; 2]) -> Self {
        Self { input: Input::Range(range), output: range }
    }

    /// The ranges of a trained network; `statistics` are asked for where the input is normalised.
    pub fn ranges(&self, statistics: impl FnOnce() -> Statistics) -> Ranges {
        self.ranges_of(None, statistics)
    }

    /// The same for pictures whose black and white are others than 0 and 1, if there is a `signal`.
    pub fn ranges_of(&self, signal: Option<[f32; 2]>, statistics: impl FnOnce() -> Statistics) -> Ranges {
        let input = match self.input {
            Input::Range(range) => stretched(range, signal),
            Input::Normalised => {
                let Statistics { mean, deviation } = statistics();
                [-mean / deviation, (1.0 - mean) / deviation]
            }
        };
        Ranges { input, output: stretched(self.output, signal) }
    }

    /// Which values of pictures are black and white to a network with these ranges, where they are others than 0 and 1.
    pub fn signal(&self, ranges: &Ranges) -> Option<[f32; 2]> {
        let [low, high] = ranges.output.map(f64::from);
        (ranges.output != self.output).then(|| self.output.map(|v| ((f64::from(v) - low) / (high - low)) as f32))
    }
}

/// The range of the network, extrapolated so that `signal` maps to black and white.
fn stretched(range: [f32; 2], signal: Option<[f32; 2]>) -> [f32; 2] {
    let Some([black, white]) = signal.map(|signal| signal.map(f64::from)) else { return range };
    let [low, high] = range.map(f64::from);
    [0.0, 1.0].map(|v| (low + (v - black) / (white - black) * (high - low)) as f32)
}

/// Mean and standard deviation of noisy pictures on the [0, 1] range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Statistics {
    /// Mean.
    pub mean: f32,
    /// Standard deviation, not 0.
    pub deviation: f32,
}

/// What the values 0 and 1 of a picture are to a network that reads and writes them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ranges {
    /// At its input.
    pub input: [f32; 2],
    /// At its output.
    pub output: [f32; 2],
}

/// Side of the picture that a network is looked at with: it divides by all strides up to 10, and by powers of two up to 1024. A
/// graph has no memory, so that it costs nothing.
const SIDE: usize = 1024 * 9 * 5 * 7;

/// What the recorded ops of a network tell.
#[derive(Clone, Debug)]
pub struct Anatomy {
    /// The network recorded for use, with its parameters.
    pub graph: Graph,
    /// What heights and widths must divide by.
    pub multiple: usize,
    /// Farthest input pixel that an output pixel depends on; `None` if it depends on all of them (GroupNorm).
    pub radius: Option<usize>,
}

impl Anatomy {
    /// Records a network and looks at its ops.
    pub fn of(network: &dyn Network) -> Self {
        let (graph, x, y) = network.forward([1, SIDE, SIDE], network.inputs());
        let (multiple, radius) = geometry(&graph, x, y);
        Self { graph, multiple, radius }
    }

    /// Number of trained values.
    pub fn parameters(&self) -> usize {
        self.graph.parameter_count()
    }
}

/// What sizes must divide by, and how far `y` sees of `x`.
fn geometry(g: &Graph, x: Tensor, y: Tensor) -> (usize, Option<usize>) {
    // Per tensor: input pixels to one of its pixels as a fraction, and how far one sees; None where it sees everything.
    let mut seen = BTreeMap::from([(x, ((1, 1), Some(0)))]);
    let mut multiple = 1;
    for node in g.nodes() {
        let inputs: Vec<_> = node.inputs.iter().filter_map(|t| seen.get(t).copied()).collect();
        let Some(&((over, under), _)) = inputs.first() else { continue };
        let halo = node.op.halo();
        let (down, up) = halo.map_or((1, 1), |h| (h.down, h.up));
        // Its input of size * under / over pixels must divide by `down`.
        multiple = lcm(multiple, over * down / gcd(over * down, under));
        let far = halo.and_then(|halo| {
            let sees = inputs.iter().map(|(_, radius)| *radius).reduce(|a, b| Some(a?.max(b?))).flatten()?;
            Some(sees + (halo.radius() * over).div_ceil(under))
        });
        let common = gcd(over * down, under * up);
        let to = ((over * down / common, under * up / common), far);
        seen.extend(node.outputs.iter().map(|&t| (t, to)));
    }
    (multiple, seen.get(&y).and_then(|(_, radius)| *radius))
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn lcm(a: usize, b: usize) -> usize {
    a / gcd(a, b) * b
}
