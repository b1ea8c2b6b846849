//! Models that come with the program: `models/`, each with a card that tells what it was trained on and how well it does.

use super::Model;
use crate::error::Result;

/// A model in the box.
#[derive(Debug)]
pub struct Builtin {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it is for, in a line.
    pub about: &'static str,
    /// Its file, in half precision.
    bytes: &'static [u8],
}

/// All of them; the first is the default.
pub static BUILT_IN: &[Builtin] = &[
    Builtin {
        name: "photo",
        about: "photographs of cameras, whatever their noise",
        bytes: include_bytes!("../../models/photo.safetensors"),
    },
    Builtin {
        name: "quick",
        about: "photographs, in a third of the time and 1 to 2 dB worse",
        bytes: include_bytes!("../../models/quick.safetensors"),
    },
    Builtin {
        name: "gaussian",
        about: "Gaussian noise of any deviation up to 55 of 255",
        bytes: include_bytes!("../../models/gaussian.safetensors"),
    },
];

impl Builtin {
    /// The one of that name.
    pub fn find(name: &str) -> Option<&'static Self> {
        BUILT_IN.iter().find(|model| model.name == name)
    }

    /// Bytes of its file.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The model.
    ///
    /// # Errors
    /// None, unless the file in the program is damaged.
    pub fn load(&self) -> Result<Model> {
        Model::parse(self.name, self.bytes)
    }
}
