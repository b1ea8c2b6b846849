//! Arguments of every command that makes a network.

use clap::Args;
use n2n_gpu::check::cooperative_matrices;
use n2n_gpu::data::noise::Noise;
use n2n_gpu::device::Device;
use n2n_gpu::graph::Precision;
use n2n_gpu::nets::{Down, Net, NetOptions, Norm, Up};

use super::{Common, Usage};

/// The network and its options.
#[derive(Args, Debug)]
pub(super) struct NetArgs {
    /// Network [default: unet; where there is a recipe, its own]
    #[arg(long, value_enum)]
    net: Option<Net>,
    /// Channels of the encoder [default: 48; of unet without a discrete GPU 16]
    #[arg(long, value_name = "C", value_parser = clap::value_parser!(u16).range(1..=512))]
    width: Option<u16>,
    /// Times that unet halves the picture [default: 4 on a discrete GPU, else 3]
    #[arg(long, value_name = "L", value_parser = clap::value_parser!(u16).range(1..=8))]
    levels: Option<u16>,
    /// Normalisation of unet [default: none]
    #[arg(long, value_enum)]
    norm: Option<Norm>,
    /// Use one block several times where blocks are alike (epfl-unet, epfl-resunet: as published)
    #[arg(long)]
    shared: bool,
    /// How pictures are halved (unet, epfl-resunet) [default: as published]
    #[arg(long, value_enum)]
    down: Option<Down>,
    /// How pictures are doubled (unet) [default: convt]
    #[arg(long, value_enum)]
    up: Option<Up>,
    /// Predict the noise, which is subtracted [default: true where unet is trained on
    /// noise that is right on average, else false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    residual: Option<bool>,
}

impl NetArgs {
    /// The chosen network; `default` if none is named.
    ///
    /// # Errors
    /// If an option is given that the network does not have.
    pub(super) fn check(&self, default: Net) -> anyhow::Result<()> {
        let net = self.net.unwrap_or(default);
        for (flag, given, nets) in [
            ("--width", self.width.is_some(), &[Net::Unet, Net::N2nUnet, Net::EpflUnet, Net::EpflResunet][..]),
            ("--levels", self.levels.is_some(), &[Net::Unet]),
            ("--norm", self.norm.is_some(), &[Net::Unet]),
            ("--up", self.up.is_some(), &[Net::Unet]),
            ("--down", self.down.is_some(), &[Net::Unet, Net::EpflResunet]),
            ("--shared", self.shared, &[Net::EpflUnet, Net::EpflResunet]),
        ] {
            if given && !nets.contains(&net) {
                let there: Vec<_> = nets.iter().map(|&n| NetOptions::new(n).name()).collect();
                let name = NetOptions::new(net).name();
                return Err(Usage::new(format!("{flag}: {name} has no such option, only {}", there.join(", "))));
            }
        }
        Ok(())
    }

    /// The width asked for.
    pub(super) fn width(&self) -> Option<usize> {
        self.width.map(usize::from)
    }

    /// A network small enough for the device to train in minutes, unless it is said otherwise; of kind `default` if none is
    /// named. `noise` is what it is trained for, if it is trained: `None` in it stands for pairs.
    pub(super) fn options(&self, device: &Device, default: Net, noise: Option<Option<Noise>>) -> NetOptions {
        let net = self.net.unwrap_or(default);
        let published = NetOptions::new(net);
        let (width, levels) = match (net, device.is_large()) {
            (Net::Unet, true) => (48, 4),
            (Net::Unet, false) => (16, 3),
            _ => (published.width, published.levels),
        };
        let residual = net == Net::Unet && noise.is_some_and(subtractable);
        self.in_place_of(NetOptions { width, levels, residual, ..published })
    }

    /// `base` with what is given in its place.
    pub(super) fn in_place_of(&self, base: NetOptions) -> NetOptions {
        NetOptions {
            net: self.net.unwrap_or(base.net),
            width: self.width.map_or(base.width, usize::from),
            levels: self.levels.map_or(base.levels, usize::from),
            norm: self.norm.unwrap_or(base.norm),
            shared: self.shared || base.shared,
            down: self.down.unwrap_or(base.down),
            up: self.up.unwrap_or(base.up),
            residual: self.residual.unwrap_or(base.residual),
        }
    }
}

/// Whether a picture is little more than its noisy version minus something small: of pairs (`None`), that is taken for granted.
fn subtractable(noise: Option<Noise>) -> bool {
    noise.is_none_or(|n| n.unbiased() && !n.masks())
}

/// The precision of pictures within a training step.
#[derive(Args, Debug)]
pub(super) struct PrecisionArg {
    /// What pictures are kept in within a training step: f32, or f16 for less memory traffic where the device has it (sums,
    /// weights and models stay f32; the CPU only rounds) [default: f32]
    #[arg(long, value_enum, hide_possible_values = true)]
    precision: Option<Precision>,
}

impl PrecisionArg {
    /// The precision asked for, else that of the run that is resumed (`kept`), if the device has it; else a line that says so, and f32.
    ///
    /// In 16 bits cooperative matrices are used where the device has them and gets them right.
    pub(super) fn choose(&self, common: &Common, device: &mut Device, kept: Option<Precision>) -> anyhow::Result<Precision> {
        let wanted = self.precision.or(kept).unwrap_or_default();
        if !device.supports(wanted) {
            common.remark(&format!("--precision f16: {} has no 16-bit floats; f32 is used", device.name()));
            return Ok(Precision::F32);
        }
        if let (Precision::F16, Device::Gpu(gpu)) = (wanted, &mut *device)
            && gpu.adapter.cooperative.is_some()
        {
            match cooperative_matrices(gpu)? {
                Some(with) => *gpu = with,
                None => {
                    common.remark(&format!("{}: cooperative matrices failed their self-test, and are not used", device.name()));
                }
            }
        }
        if let (Precision::F16, Device::Gpu(gpu)) = (wanted, &*device)
            && gpu.adapter.cooperative.is_none()
            && gpu.adapter.features.contains(&"cooperative-matrix")
        {
            common.remark(&format!(
                "{}: its cooperative matrices are of no kind that the kernels know, and are not used",
                device.name()
            ));
        }
        Ok(wanted)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use n2n_gpu::gpu::{Gpu, adapters};

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        precision: PrecisionArg,
    }

    #[test]
    fn half_precision_is_single_where_the_adapter_has_none_also_of_a_run_that_had_it() {
        for index in 0..adapters().len() {
            let mut gpu = Gpu::open(index).unwrap();
            (gpu.adapter.features, gpu.adapter.cooperative) = (Vec::new(), None);
            let mut device = Device::Gpu(gpu);
            for (line, kept) in [("x --quiet --precision f16", None), ("x --quiet", Some(Precision::F16)), ("x --quiet", None)] {
                let Line { common, precision } = Line::parse_from(line.split(' '));
                assert_eq!(precision.choose(&common, &mut device, kept).unwrap(), Precision::F32, "{line}");
            }
        }
    }
}
