//! What model files and the command line know of a network by its name: a line for each is in [`NETWORKS`].

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::NETWORKS;
use super::network::Network;

/// A network that is found by its name. Its options are its fields; its default is the network as published.
pub trait Named: Network + Serialize + DeserializeOwned + Default + 'static {
    /// Name in model files and on the command line.
    const NAME: &'static str;
    /// What it is, in a sentence for people.
    const ABOUT: &'static str;
    /// Its options, by the names of its fields.
    const OPTIONS: &'static [NetOption];

    /// The network that suits a task where nothing else is asked for.
    fn suited(_task: Task) -> Self {
        Self::default()
    }
}

/// An option of a network.
#[derive(Clone, Copy, Debug)]
pub struct NetOption {
    /// Its name in model files; also that of the flag.
    pub name: &'static str,
    /// What it does.
    pub help: &'static str,
    /// Which values it has.
    pub kind: Kind,
    /// Must be given to `import`: a state dict does not show it.
    pub hidden: bool,
    /// What of the pictures tells it where it is not given.
    pub follows: Option<Follows>,
}

/// Channels of pictures that an option of a network follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follows {
    /// Those of the colours.
    Colours,
    /// Those of the colours and of the features beside them.
    All,
}

impl NetOption {
    pub(super) const WIDTH: Self = Self::new("width", "Channels of the encoder", Kind::Count(1, 1024));
    pub(super) const RESIDUAL: Self =
        Self::new("residual", "Predict the noise, which is subtracted, in place of the picture", Kind::Flag);
    pub(super) const CHANNELS: Self = Self::new(
        "channels",
        "Channels of the pictures: 3 of colours, or 1 of grey ones [default: as the pictures]",
        Kind::Count(1, 3),
    )
    .following(Follows::Colours);
    pub(super) const SHARED: Self = Self::new(
        "shared",
        "Use one block several times where blocks are alike, as published; else every level has its own",
        Kind::Flag,
    );
    pub(super) const DOWN: Self = Self::new(
        "down",
        "How pictures are halved: by a strided convolution, or by the largest of four",
        Kind::Word(&["conv", "maxpool"]),
    );

    /// An option that a state dict shows.
    pub const fn new(name: &'static str, help: &'static str, kind: Kind) -> Self {
        Self { name, help, kind, hidden: false, follows: None }
    }

    /// The same, told by the pictures where it is not given.
    #[must_use]
    pub const fn following(self, channels: Follows) -> Self {
        Self { follows: Some(channels), ..self }
    }
}

/// Values of an option.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A whole number from the first to the second.
    Count(u64, u64),
    /// One of these words.
    Word(&'static [&'static str]),
    /// True or false.
    Flag,
}

/// What a network is to be used for.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    /// Whether the device trains large networks in minutes.
    pub large: bool,
    /// Whether residual prediction suits the noise.
    pub subtracts: bool,
}

/// Makes a network from its options.
type Build = fn(Map<String, Value>) -> serde_json::Result<Arc<dyn Network>>;

/// What is known of a network by its name.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// Its options.
    pub options: &'static [NetOption],
    suited: fn(Task) -> Arc<dyn Network>,
    published: fn() -> Arc<dyn Network>,
    build: Build,
}

impl Entry {
    /// What a network says of itself.
    pub(super) const fn of<N: Named>() -> Self {
        Self {
            name: N::NAME,
            about: N::ABOUT,
            options: N::OPTIONS,
            suited: |task| Arc::new(N::suited(task)),
            published: || Arc::new(N::default()),
            build: |options| Ok(Arc::new(serde_json::from_value::<N>(options.into())?)),
        }
    }

    /// The network that is taken where none is named.
    pub fn preferred() -> &'static Self {
        &NETWORKS[0]
    }

    /// The network of that name.
    pub fn find(name: &str) -> Option<&'static Self> {
        NETWORKS.iter().find(|entry| entry.name == name)
    }

    /// The network as it was published.
    pub fn published(&self) -> Arc<dyn Network> {
        (self.published)()
    }

    /// The network that suits a task.
    pub fn suited(&self, task: Task) -> Arc<dyn Network> {
        (self.suited)(task)
    }

    /// The network with these options; those that are missing are as published, others are ignored.
    ///
    /// # Errors
    /// A sentence, if an option has no such value or such a network cannot be recorded.
    pub fn build(&self, options: Map<String, Value>) -> Result<Arc<dyn Network>, String> {
        let network = (self.build)(options).map_err(|e| format!("{} has no such options ({e})", self.name))?;
        network.check()?;
        Ok(network)
    }

    /// `base` with the options in `given` in place of its own.
    ///
    /// # Errors
    /// As [`Entry::build`].
    pub fn with(&self, base: &dyn Network, given: &Map<String, Value>) -> Result<Arc<dyn Network>, String> {
        let mut options = base.options();
        options.extend(given.clone());
        self.build(options)
    }

    /// Whether it has an option of that name.
    pub fn has(&self, option: &str) -> bool {
        self.options.iter().any(|o| o.name == option)
    }

    /// Its option that follows those channels of pictures.
    pub fn following(&self, channels: Follows) -> Option<&'static NetOption> {
        self.options.iter().find(|option| option.follows == Some(channels))
    }
}

/// The network of that name with these options. Fails with a sentence if there is none.
pub(super) fn build(name: &str, options: Map<String, Value>) -> Result<Arc<dyn Network>, String> {
    let known = || NETWORKS.iter().map(|n| n.name).collect::<Vec<_>>().join(", ");
    let entry = Entry::find(name).ok_or_else(|| {
        format!(
            "is of the network {name}, which is none of {} (the library loads networks of your own with `Model::load_for`)",
            known()
        )
    })?;
    entry.build(options)
}

/// Whether pictures have colours, of which options say nothing.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
pub(super) fn is_colour(channels: &usize) -> bool {
    *channels == 3
}

/// Channels that pictures have. Fails with a sentence if they are others.
pub(super) fn check_channels(name: &str, channels: usize) -> Result<(), String> {
    if matches!(channels, 1 | 3) { Ok(()) } else { Err(format!("{name} of {channels} channels: pictures have 1 or 3")) }
}

/// Widths that any device and file may ask for. Fails with a sentence if it is none.
pub(super) fn check_width(name: &str, width: usize) -> Result<(), String> {
    if (1..=1024).contains(&width) { Ok(()) } else { Err(format!("{name} of width {width}: widths are 1 to 1024")) }
}
