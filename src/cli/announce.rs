//! What is said before a training begins.

use n2n_gpu::data::range::ends;
use n2n_gpu::device::Device;
use n2n_gpu::error::shown;
use n2n_gpu::nets::{Anatomy, Network};
use n2n_gpu::train::{Source, Validation};

use super::Common;
use super::output::{counted, scenes_in_words};
use super::settings::Settings;

/// Says what is about to be trained.
pub(super) fn announce(
    common: &Common,
    settings: &Settings,
    network: &dyn Network,
    (training_set, validation): (&Source, &Validation),
    device: &Device,
) {
    let held_out = match validation.count() {
        // Those that are looked at are trained on as well.
        _ if training_set.is_single() && settings.origin.data.val.is_none() => "none".to_owned(),
        count => count.to_string(),
    };
    common.remark(&format!(
        "training {}{} of {} parameters on {}, {held_out} held out, {}, on {}",
        network.name(),
        settings.origin.from.as_ref().map_or(String::new(), |from| format!(" from {}", shown(from))),
        Anatomy::of(network).parameters(),
        scenes_in_words(&training_set.shots_of_scenes()),
        training_set.added_noise().map_or("with the noise that they have".to_owned(), |noise| format!("noise {noise}")),
        device.name()
    ));
    range_in_words(training_set).iter().chain(&counts_in_words(training_set)).for_each(|line| common.remark(line));
    if training_set.is_linear() {
        common.remark("colours are linear: PSNR is that of errors relative to the brightness around");
    }
}

/// Which values the pictures fill, if that is another range than 0 to 1.
fn range_in_words(pictures: &Source) -> Option<String> {
    let ([low, high], unit) = ends(pictures.signal()?, !pictures.is_measured());
    Some(format!("values lie between {low} and {high}{unit}: the model reads this range, and PSNR is that of it"))
}

/// What is to be said of photographs whose values count something.
fn counts_in_words(pictures: &Source) -> Option<String> {
    let (count, name) = pictures.beyond_white()?;
    Some(format!(
        "warning: {} of which half lies beyond white, which is 1 ({name} first): the noise is nothing beside such values, and the model will be \
         of no use; bring them to 0 to 1, or train on noisy ones as they are with --pairs, --burst or --single",
        counted(count, "photograph")
    ))
}
