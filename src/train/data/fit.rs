//! Whether a training can draw from pictures with a network, on a device; and which ones have to be left out.

use super::{Source, most_bytes};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::nets::Network;
use crate::ops::{Pixels, Shards};
use crate::train::{Options, TrainingPicture};

impl Source {
    /// Whether the network reads pictures like these.
    ///
    /// # Errors
    /// If it reads other values or features, or noise is to be added to what is no photograph.
    pub fn check_network(&self, network: &dyn Network) -> Result<()> {
        let (channels, linear) = (self.channels(), self.is_linear());
        if let Some(other) = self.scenes.iter().flatten().find(|p| (p.channels, p.linear) != (channels, linear)) {
            let problem = "has other features than the first picture, or colours on another scale: give all of one kind";
            return Err(Error::data(format!("{}: {problem}", other.name)));
        }
        if self.noise.is_some() && network.colours() == 1 {
            return Err(Error::data(
                "noise is added to photographs in colour, and a network of 1 channel is for grey shots with noise of their own: take one of 3",
            ));
        }
        if self.noise.is_some() && (linear || channels != 3 || network.inputs() != 3) {
            let (name, inputs) = (network.name(), network.inputs());
            return Err(Error::data(format!(
                "noise is added to photographs, which have neither features nor linear colours, and {name} reads {inputs} channels: give two \
                 noisy renders of every frame, or take a network that reads the colours of photographs"
            )));
        }
        if channels.min(3) != network.colours() {
            let reads = if channels == 1 { "colours, not grey pictures" } else { "grey pictures, not colours" };
            return Err(Error::data(format!("the network {} reads {reads}: take one with other channels", network.name())));
        }
        if !linear {
            network.check_features(channels - network.colours())?;
            return if network.transfer().is_linear() { network.check_photographs() } else { Ok(()) };
        }
        if !network.transfer().is_linear() {
            let name = network.name();
            return Err(Error::data(format!(
                "the network {name} reads colours as on a display, not linear ones: take one with hdr"
            )));
        }
        network.check_features(channels - 3)
    }

    /// Drops pictures smaller than `crop`, which is a `multiple` of what the network divides by; returns their names.
    ///
    /// # Errors
    /// If none is left.
    pub fn drop_small(&mut self, crop: usize, multiple: usize) -> Result<Vec<String>> {
        let least = self.least(crop);
        if let Some(supply) = self.supply.take() {
            let supply = supply.fitting(least, &self.scenes);
            if !self.scenes.iter().flatten().all(|p| supply.takes(p)) {
                self.scenes = supply.first_scenes()?;
            }
            self.supply = Some(supply);
            return Ok(Vec::new());
        }
        let dropped = self.retain(|_, scene| scene[0].has_side(least));
        if self.count() > 0 {
            return Ok(dropped);
        }
        let first = dropped.first().map_or("none", String::as_str);
        let why = match self.noise {
            Some(noise) if least != crop => format!("which noise {noise} needs for a crop of {crop}"),
            None if least != crop => format!("twice that of the crop, {crop}, as single pictures need it"),
            _ => "the crop".to_owned(),
        };
        let advice = match crop > multiple {
            true => "choose a smaller crop",
            false => "choose a network that halves pictures less often, by fewer levels",
        };
        Err(Error::data(format!("all pictures are smaller than {least} pixels a side, {first} among them ({why}): {advice}")))
    }

    /// Drops pictures that a device cannot hold beside the others; returns their names.
    ///
    /// # Errors
    /// If none is left.
    pub fn drop_excess(&mut self, device: &Device) -> Result<Vec<String>> {
        if self.is_supplied() {
            return Ok(Vec::new());
        }
        let places = Shards::places(&self.groups(), most_bytes(device));
        let dropped = self.retain(|number, _| places[number].is_some());
        if self.count() > 0 {
            return Ok(dropped);
        }
        let (first, name) = (dropped.first().map_or("the picture", String::as_str), device.name());
        Err(Error::data(format!("{first}: is larger than what {name} binds at once: cut it, or train on the CPU")))
    }

    /// Drops scenes that are not to be kept, by number and pictures; returns their names.
    fn retain(&mut self, keep: impl Fn(usize, &[TrainingPicture]) -> bool) -> Vec<String> {
        let mut dropped = Vec::new();
        let mut number = 0;
        self.scenes.retain(|scene| {
            let kept = keep(number, scene);
            number += 1;
            dropped.extend((!kept).then(|| scene[0].name.clone()));
            kept
        });
        dropped
    }

    /// Whether a training with these options can draw from it.
    pub(in crate::train) fn check(&self, network: &dyn Network, options: &Options) -> Result<()> {
        options.check(network)?;
        self.check_network(network)?;
        let most = self.added_noise().map_or(1, |noise| noise.most_targets());
        if options.targets > most {
            let problem = format!("{}: with noise {} a crop has {most} at most", options.targets, self.noise());
            return Err(Error::option("targets", problem));
        }
        if options.grey > 0.0 && self.channels() != 3 {
            return Err(Error::option("grey", "is for pictures of three channels: leave it out"));
        }
        let crop = self.least(options.crop);
        let mut pictures = self.scenes.iter().flatten();
        if self.count() == 0 || !pictures.clone().all(|p| p.has_side(crop)) {
            return Err(Error::data(format!("there are no pictures, or some are smaller than a crop of {crop} pixels")));
        }
        match pictures.find(|p| matches!(&p.pixels, Pixels::Floats(values) if values.iter().any(|v| !v.is_finite()))) {
            Some(p) => Err(Error::data(format!("{}: has values that are not finite", p.name))),
            None => Ok(()),
        }
    }
}
