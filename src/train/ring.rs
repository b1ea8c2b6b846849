//! A ring of pictures on the device, for data that memory does not hold: the same kernel draws from it as from pictures that are
//! all there.
//!
//! - A `Supply` is the files in an endless order that the seed shuffles: a position of it is a file and a random piece of it.
//! - The ring has `slots` of one size. Slot `s` holds the latest position `p` with `p % slots == s`.
//! - Before step `n`, all positions below `first + n * crops / each` have been written: a piece is replaced after, on average, as
//!   many crops as would tile it.
//! - So what is drawn from is a function of seed, files and step: a resumed training, another device and every process of a team
//!   get the same. A step whose piece is not read yet waits for it.
//! - Slots that are still empty are rows of the table that name one of the first pieces.
//! - Threads read a few positions ahead (`Ahead`); pieces go to the device as host writes between steps.

use std::time::{Duration, Instant};

use super::ahead::Ahead;
use super::supply::{Scene, Supply};
use super::{Options, Source, TrainingPicture};
use crate::error::{Error, Result};
use crate::ops::{Pictures, Shards};
use crate::plan::Executor;

/// Slots of a ring at least: in fewer, a step would see one picture.
const LEAST: usize = 4;
/// Shards of a device.
const SHARDS: usize = 3;

/// Pieces of pictures on a device, which are replaced as training goes on.
pub(super) struct Ring {
    supply: Supply,
    /// Positions that training begins with.
    first: Vec<Scene>,
    slots: usize,
    /// Those in each shard.
    in_shard: usize,
    /// Words of a picture's place.
    words: usize,
    value_bytes: usize,
    added_noise: bool,
    /// Crops of a step, and those that are drawn for each piece.
    crops: u64,
    each: u64,
    /// Positions that were written.
    written: Option<u64>,
    /// Whether all of it is still being filled: no step waits for that.
    fills: bool,
    ahead: Option<Ahead>,
}

/// How pieces lie in a ring.
pub(super) struct Layout {
    /// Slots in each shard.
    in_shard: usize,
    /// Words of a picture's place.
    words: usize,
    value_bytes: usize,
}

impl Layout {
    /// Of the ring of a source, if it has one; shards have `most` bytes at most.
    ///
    /// # Errors
    /// If there is no room for a few pieces.
    pub(super) fn new(source: &Source, most: u64) -> Result<Option<Self>> {
        let Some(supply) = source.supply() else { return Ok(None) };
        let value_bytes = source.scenes().iter().flatten().map(|p| p.pixels.value_bytes()).max().unwrap_or(1);
        let side = supply.side();
        let words = (side * side * source.channels() * value_bytes).next_multiple_of(16) / 4;
        let slot = 4 * (words * supply.shots()) as u64;
        let in_shard = in_shard(supply.bytes(), most, slot);
        if SHARDS * in_shard < LEAST { Err(too_little(side, slot)) } else { Ok(Some(Self { in_shard, words, value_bytes })) }
    }
}

/// Slots of so many bytes in each shard of a ring, which has `most` bytes at most.
fn in_shard(bytes: u64, most: u64, slot: u64) -> usize {
    (bytes.div_ceil(SHARDS as u64).min(most.saturating_sub(16)) / slot.max(1)) as usize
}

/// Whether a ring of so many bytes has room for a few slots.
pub(super) fn holds(bytes: u64, slot: u64) -> bool {
    SHARDS * in_shard(bytes, u64::MAX, slot) >= LEAST
}

/// The memory does not suffice for a few slots of so many bytes, for pieces of that side.
pub(super) fn too_little(side: usize, slot: u64) -> Error {
    let mib = Supply::memory_for(LEAST.next_multiple_of(SHARDS) as u64 * slot);
    Error::option("memory", format!("too little for pieces of {side} pixels a side: give {mib} MiB or more"))
}

impl Ring {
    /// The ring of a source, if it has one; shards have `most` bytes at most.
    ///
    /// # Errors
    /// If there is no room for a few pieces.
    pub(super) fn new(source: &Source, options: &Options, most: u64) -> Result<Option<Self>> {
        let Some(Layout { in_shard, words, value_bytes }) = Layout::new(source, most)? else { return Ok(None) };
        let Some(supply) = source.supply() else { return Ok(None) };
        let (supply, slots) = (supply.clone().like(source.scenes()), SHARDS * in_shard);
        let side = supply.side();
        let across = (side / source.least(options.crop)) as u64;
        let first = source.scenes()[..source.scenes().len().min(slots)].to_vec();
        Ok(Some(Self {
            supply,
            first,
            slots,
            in_shard,
            words,
            value_bytes,
            added_noise: source.added_noise().is_some(),
            crops: options.crops() as u64,
            each: (across * across).max(1),
            written: None,
            fills: false,
            ahead: None,
        }))
    }

    /// Pictures, or scenes, that a batch is drawn from.
    pub(super) fn count(&self) -> usize {
        self.slots
    }

    /// How it lies on the device. Nothing is in it yet.
    pub(super) fn shards(&self) -> Shards {
        let bytes = 4 * self.in_shard * self.supply.shots() * self.words;
        Shards { data: [(); SHARDS].map(|()| vec![0; bytes]), ..self.table() }
    }

    /// The table when training begins: slots that are empty are the same as one of the first.
    fn table(&self) -> Shards {
        let shots = self.supply.shots();
        let first = || (0..self.slots).map(|slot| slot % self.first.len()).map(|slot| (slot, &self.first[slot]));
        let rows = first().flat_map(|(slot, scene)| (0..shots).map(move |i| self.row(slot, i.min(scene.len() - 1), scene)));
        let scenes = first().filter(|_| !self.added_noise).map(|(slot, scene)| self.scene_row(slot, scene));
        Shards { table: rows.flatten().collect(), scenes: scenes.collect(), value_bytes: self.value_bytes, ..Shards::default() }
    }

    /// First word of a shot in a slot, in its shard.
    fn place(&self, slot: usize, shot: usize) -> [usize; 2] {
        [slot / self.in_shard, (slot % self.in_shard * self.supply.shots() + shot) * self.words]
    }

    /// Row of the table for a shot of the scene in a slot.
    fn row(&self, slot: usize, shot: usize, scene: &[TrainingPicture]) -> [u32; 4] {
        let [shard, word] = self.place(slot, shot);
        [shard, 4 * word / self.value_bytes, scene[shot].width, scene[shot].height].map(|v| v as u32)
    }

    /// First picture and shots of the scene in a slot.
    fn scene_row(&self, slot: usize, scene: &[TrainingPicture]) -> [u32; 2] {
        [slot * self.supply.shots(), scene.len()].map(|v| v as u32)
    }

    /// Brings the ring to where it is before a step, and waits for files; `until`, if that is given. Whether it is there: if not,
    /// it goes on from where it is when it is called again.
    ///
    /// # Errors
    /// If the device fails, or there are no more pictures to train on.
    pub(super) fn bring_to(
        &mut self,
        step: u64,
        executor: &mut dyn Executor,
        to: Pictures,
        until: Option<Instant>,
    ) -> Result<bool> {
        let end = self.first.len() as u64 + step * self.crops / self.each;
        let mut next = match self.written {
            Some(written) if (written..=written + self.slots as u64).contains(&end) => written,
            // All of it: at the first step, and where a training goes on.
            _ => {
                executor.write_ints(to.table, &self.table().rows())?;
                let begin = end.saturating_sub(self.slots as u64);
                self.ahead = Some(Ahead::new(&self.supply, begin.max(self.first.len() as u64)));
                (self.written, self.fills) = (Some(begin), true);
                begin
            }
        };
        while next < end {
            if let Some(scene) = self.first.get(next as usize) {
                self.write(next, scene, executor, to)?;
            } else {
                let Some(scene) = self.ahead.as_mut().expect("it was begun").take(until)? else { return Ok(false) };
                self.write(next, &scene, executor, to)?;
            }
            next += 1;
            self.written = Some(next);
        }
        if std::mem::take(&mut self.fills)
            && let Some(ahead) = &mut self.ahead
        {
            ahead.waited = Duration::ZERO;
        }
        Ok(true)
    }

    /// Puts a scene in the place of its position.
    fn write(&self, position: u64, scene: &[TrainingPicture], executor: &mut dyn Executor, to: Pictures) -> Result<()> {
        let slot = (position % self.slots as u64) as usize;
        let first = slot * self.supply.shots();
        for (shot, picture) in scene.iter().enumerate() {
            let [shard, word] = self.place(slot, shot);
            executor.write_ints_at(to.shards[shard], word, &picture.pixels.words(self.value_bytes))?;
            executor.write_ints_at(to.table, 4 * (first + shot), &self.row(slot, shot, scene))?;
        }
        if !self.added_noise {
            let [first, shots] = self.scene_row(slot, scene);
            let at = 4 * (self.slots * self.supply.shots() + slot);
            executor.write_ints_at(to.table, at, &[first, shots, 0, 0])?;
        }
        Ok(())
    }

    /// Time that steps have waited for files.
    pub(super) fn waited(&self) -> Duration {
        self.ahead.as_ref().map_or(Duration::ZERO, |ahead| ahead.waited)
    }
}
