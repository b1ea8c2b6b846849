//! Networks: what each of them records, the names of its parameters and how they start, and model files.

/// What all networks with a [`Named`] name say alike: it, and their fields as options.
macro_rules! name_and_options {
    () => {
        fn name(&self) -> &str {
            <Self as super::Named>::NAME
        }

        fn options(&self) -> serde_json::Map<String, serde_json::Value> {
            super::options_of(self)
        }
    };
}

mod builtin;
pub mod import;
mod init;
pub mod model;
mod modules;
mod network;
mod registry;
mod sequential;
pub(crate) mod state_dict;

mod epfl_convnet;
mod epfl_resunet;
mod epfl_unet;
mod n2n;
mod oidn;
mod unet;

pub use builtin::{BUILT_IN, Builtin};
pub use epfl_convnet::EpflConvnet;
pub use epfl_resunet::EpflResunet;
pub use epfl_unet::EpflUnet;
pub use n2n::N2nUnet;
pub use oidn::{OidnUnet, OidnUnetSmall};
pub use unet::Unet;

pub use init::{Init, initial};
pub use model::{Model, Reading};
pub use modules::Modules;
pub use network::{Anatomy, Input, Network, Ranges, Statistics, Values, options_of};
pub use registry::{Entry, Follows, Kind, Named, NetOption, Task};
pub use sequential::{Layer, Sequential};

pub use crate::ops::Transfer;
pub(crate) use crate::ops::pu;
use serde::{Deserialize, Serialize};

/// All networks by name; the first is the default.
pub static NETWORKS: &[Entry] = &[
    Entry::of::<Unet>(),
    Entry::of::<N2nUnet>(),
    Entry::of::<EpflUnet>(),
    Entry::of::<EpflResunet>(),
    Entry::of::<EpflConvnet>(),
    Entry::of::<OidnUnet>(),
    Entry::of::<OidnUnetSmall>(),
];

/// Normalisation after the convolutions of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Norm {
    /// None: best for denoising.
    #[default]
    None,
    /// GroupNorm, eight channels to a group.
    Group,
    /// BatchNorm.
    Batch,
}

/// How pictures are halved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Down {
    /// By a strided convolution.
    Conv,
    /// By the largest of four.
    Maxpool,
}

/// How pictures are doubled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Up {
    /// By a transposed convolution.
    Convt,
    /// By repeating pixels.
    Nearest,
}

/// Name of a block that is used several times: the same each time where its parameters are shared.
fn numbered(name: &str, i: usize, shared: bool) -> String {
    if shared { name.into() } else { format!("{name}.{i}") }
}
