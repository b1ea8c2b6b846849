//! What the processes of a team do before the first step, and all that those beside the first do.

use super::run::Run;
use super::state::Identity;
use super::team::{Team, Vote, agree, by_speed, equal, gather, of_first, of_floats, to_floats};
use super::trainer::Trainer;
use crate::error::Result;
use crate::nets::Ranges;

/// A trainer of this process's part of every batch: all equal at first, then as long as the devices are fast.
///
/// # Errors
/// If the processes do not train the same, or one of them fails.
pub(super) fn trainer(run: &Run, team: &mut dyn Team, identity: &Identity, ranges: Option<Ranges>) -> Result<Trainer> {
    let Run { device, ref network, options, source, .. } = *run;
    agree(team, identity.digest())?;
    let [low, high] = ranges.map_or([[0.0; 2]; 2], |r| [r.input, r.output]);
    let found = of_first(team, [low, high].concat())?;
    let ranges = Ranges { input: [found[0], found[1]], output: [found[2], found[3]] };
    let parts = equal(options.batch, team.size())?;
    let of = |part| Trainer::in_part(device, network.clone(), options, source, ranges, part);
    let mut trainer = of(parts[team.rank()])?;
    let seconds = gather(team, trainer.seconds()? as f32)?;
    let seconds: Vec<f64> = seconds.into_iter().map(f64::from).collect();
    let part = by_speed(&parts, &seconds)[team.rank()];
    if part != trainer.part {
        // Not both at once: memory may be scarce.
        drop(trainer);
        trainer = of(part)?;
    }
    Ok(trainer)
}

/// Gives all processes the step, the parameters, moments and averages of the first, and the share of the training that is done
/// there.
pub(super) fn synchronise(team: &mut dyn Team, trainer: &mut Trainer, share: f64) -> Result<Vote> {
    let numbers = [trainer.steps(), share.to_bits(), trainer.factor.to_bits()].map(to_floats).concat();
    let numbers = of_first(team, numbers)?;
    let mut vectors = [const { Vec::new() }; 3];
    for (vector, id) in vectors.iter_mut().zip(trainer.state()) {
        *vector = of_first(team, trainer.parts().0.read(id)?)?;
    }
    trainer.restore(of_floats(&numbers[..4]), &vectors)?;
    let [share, factor] = [4, 8].map(|at| f64::from_bits(of_floats(&numbers[at..at + 4])));
    trainer.scale_rate(factor);
    Ok(Vote { stop: false, share, factor })
}

/// All steps that are left, until the first process says that it is enough; `stopped` is asked before every step.
pub(super) fn assist(run: &Run, team: &mut dyn Team, mut stopped: impl FnMut() -> bool) -> Result<()> {
    let identity = Identity::new(run.network.as_ref(), run.options, run.source, run.validation);
    let mut trainer = trainer(run, team, &identity, None)?;
    let mut now = synchronise(team, &mut trainer, 0.0)?;
    while !now.stop && now.share < 1.0 {
        let vote = Vote { stop: stopped(), share: 0.0, factor: 1.0 };
        now = trainer.advance_with(team, now.share, vote)?;
        trainer.scale_rate(now.factor);
    }
    Ok(())
}
