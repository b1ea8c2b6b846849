//! Arguments of every command that makes a network: the network's name, and flags for the options of all networks in the
//! registry.

use std::sync::Arc;

use clap::builder::{BoolishValueParser, PossibleValuesParser};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use n2n_gpu::device::Device;
use n2n_gpu::graph::Precision;
use n2n_gpu::nets::{Entry, Kind, NETWORKS, NetOption, Network, Task};
use serde_json::{Map, Value};

use super::{Common, Usage};

/// The network and those of its options that are given.
#[derive(Debug)]
pub(super) struct NetArgs {
    name: Option<String>,
    pub(super) given: Map<String, Value>,
}

/// Every option of a network once, and the networks that have it.
fn options() -> Vec<(&'static NetOption, Vec<&'static str>)> {
    let mut all: Vec<(&NetOption, Vec<&str>)> = Vec::new();
    for entry in NETWORKS {
        for option in entry.options {
            match all.iter_mut().find(|(known, _)| known.name == option.name) {
                Some((_, networks)) => networks.push(entry.name),
                None => all.push((option, vec![entry.name])),
            }
        }
    }
    all
}

/// The flag of an option.
fn flag(option: &NetOption, networks: &[&str]) -> Arg {
    let help = format!("{} ({})", option.help, networks.join(", "));
    let arg = Arg::new(option.name).long(option.name).hide_short_help(true).help(help);
    match option.kind {
        Kind::Count(least, most) => arg.value_name("N").value_parser(clap::value_parser!(u64).range(least..=most)),
        Kind::Word(words) => arg.value_name("WORD").value_parser(PossibleValuesParser::new(words)),
        Kind::Flag => arg
            .value_name("BOOL")
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .value_parser(BoolishValueParser::new()),
    }
}

impl Args for NetArgs {
    fn augment_args(command: Command) -> Command {
        let about: Vec<String> = NETWORKS.iter().map(|n| format!("{}: {}", n.name, n.about)).collect();
        let net = Arg::new("net")
            .long("net")
            .value_name("NAME")
            .action(ArgAction::Set)
            .value_parser(PossibleValuesParser::new(NETWORKS.iter().map(|n| n.name)))
            .hide_possible_values(true)
            .help(format!("Network [default: {}]", Entry::preferred().name))
            .long_help(format!("Network [default: {}]\n\n{}", Entry::preferred().name, about.join("\n")));
        let flags = options().into_iter().map(|(option, networks)| flag(option, &networks));
        command.next_help_heading("Network").arg(net).args(flags).next_help_heading(None)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for NetArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut given = Map::new();
        for (option, _) in options() {
            let name = option.name;
            let value = match option.kind {
                Kind::Count(..) => matches.get_one::<u64>(name).map(|&n| n.into()),
                Kind::Word(_) => matches.get_one::<String>(name).map(|word| word.as_str().into()),
                Kind::Flag => matches.get_one::<bool>(name).map(|&flag| flag.into()),
            };
            given.extend(value.map(|value: Value| (name.to_owned(), value)));
        }
        Ok(Self { name: matches.get_one::<String>("net").cloned(), given })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl NetArgs {
    /// A flag that is given.
    pub(super) fn first_given(&self) -> Option<&str> {
        self.name.as_ref().map(|_| "net").or_else(|| self.given.keys().next().map(String::as_str))
    }

    /// The chosen network; the one named `default` if none is, and the default of all without.
    /// Fails if an option is given that the network does not have.
    pub(super) fn entry(&self, default: Option<&str>) -> anyhow::Result<&'static Entry> {
        let name = self.name.as_deref().or(default).unwrap_or(Entry::preferred().name);
        let entry = Entry::find(name).ok_or_else(|| Usage::new(format!("--net {name}: there is no such network")))?;
        if let Some(option) = self.given.keys().find(|option| !entry.has(option)) {
            let others: Vec<_> = NETWORKS.iter().filter(|n| n.has(option)).map(|n| n.name).collect();
            return Err(Usage::new(format!("--{option}: {name} has no such option, only {}", others.join(", "))));
        }
        Ok(entry)
    }

    /// The network asked for, as [`NetArgs::entry`]. It suits the task, in what nothing is asked for.
    /// Fails if it does not have the options that are given.
    pub(super) fn network(&self, default: Option<&str>, task: Task) -> anyhow::Result<Arc<dyn Network>> {
        let entry = self.entry(default)?;
        self.in_place_of(entry, entry.suited(task).as_ref())
    }

    /// `base` with what is given in its place; another network if another one is named.
    /// Fails if it does not have the options that are given.
    pub(super) fn instead_of(&self, base: &dyn Network) -> anyhow::Result<Arc<dyn Network>> {
        let entry = self.entry(Some(base.name()))?;
        if entry.name == base.name() {
            self.in_place_of(entry, base)
        } else {
            self.in_place_of(entry, entry.published().as_ref())
        }
    }

    fn in_place_of(&self, entry: &Entry, base: &dyn Network) -> anyhow::Result<Arc<dyn Network>> {
        entry.with(base, &self.given).map_err(|problem| Usage::new(format!("--net: {problem}")))
    }
}

/// The precision of pictures within a training step.
#[derive(Args, Debug)]
pub(super) struct PrecisionArg {
    /// Precision of activations in training: f32, or f16 for less memory traffic where the device has it (sums,
    /// weights and models stay f32; the CPU only rounds) [default: f32]
    #[arg(long, help_heading = "Training", hide_short_help = true, value_enum, hide_possible_values = true)]
    precision: Option<Precision>,
}

impl PrecisionArg {
    /// The precision asked for, else `base`, if the device has it; else a line that says so, and f32.
    pub(super) fn choose(&self, common: &Common, device: &mut Device, base: Precision) -> anyhow::Result<Precision> {
        let wanted = self.precision.unwrap_or(base);
        let (with, precision, remark) = device.clone().with_precision(wanted)?;
        *device = with;
        remark.iter().for_each(|line| common.remark(line));
        Ok(precision)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        precision: PrecisionArg,
    }

    /// Where the adapter has none: tests/devices.rs.
    #[test]
    fn the_flag_counts_before_the_precision_that_a_run_had() {
        for (line, before, chosen) in [
            ("x --quiet --precision f16", Precision::F32, Precision::F16),
            ("x --quiet --precision f32", Precision::F16, Precision::F32),
            ("x --quiet", Precision::F16, Precision::F16),
            ("x --quiet", Precision::F32, Precision::F32),
        ] {
            let Line { common, precision } = Line::parse_from(line.split(' '));
            assert_eq!(precision.choose(&common, &mut Device::Cpu, before).unwrap(), chosen, "{line}");
        }
    }
}
