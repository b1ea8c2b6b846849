//! Pairs of pictures, read and looked at some at a time.

use std::path::PathBuf;

use rayon::prelude::*;

use super::{Inspector, Look};
use crate::data::picture::Picture;
use crate::error::Result;

/// Bytes of the files that are read at once, unless one pair has more: memory holds some times as many.
const BATCH: u64 = 32 << 20;
/// Most pairs that are read at once.
const MOST: usize = 64;

/// Two files with shots of a scene.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairFiles {
    /// For people.
    pub name: String,
    /// The first shot and the second one.
    pub files: [PathBuf; 2],
}

impl PairFiles {
    fn bytes(&self) -> u64 {
        self.files.iter().filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum()
    }

    fn look<T>(&self, keep: impl Fn(&mut Look, [Picture; 2]) -> T) -> Result<(Look, T)> {
        let (a, b) = rayon::join(|| Picture::load(&self.files[0]), || Picture::load(&self.files[1]));
        let pictures = [a?.as_measured(), b?.as_measured()];
        let labels = self.files.each_ref().map(|file| file.display().to_string());
        let mut look = Look::new(&self.name, labels.each_ref().map(String::as_str), pictures.each_ref());
        let kept = keep(&mut look, pictures);
        Ok((look, kept))
    }
}

/// How many of the next pairs or scenes, whose files have so many bytes, are read at once: one at least.
pub fn read_at_once(bytes: impl Iterator<Item = u64>) -> usize {
    let sums = bytes.scan(0_u64, |sum, bytes| {
        *sum = sum.saturating_add(bytes);
        Some(*sum)
    });
    sums.take(MOST).take_while(|sum| *sum <= BATCH).count().max(1)
}

impl Inspector {
    /// Reads pairs, adds a look at each, and returns what is to be kept of them, or why they cannot be read. `done` learns how
    /// many were read.
    pub fn read<T: Send>(
        &mut self,
        pairs: &[PairFiles],
        keep: impl Fn(&mut Look, [Picture; 2]) -> T + Sync,
        mut done: impl FnMut(usize),
    ) -> Vec<Result<T>> {
        let mut all = Vec::with_capacity(pairs.len());
        while all.len() < pairs.len() {
            let rest = &pairs[all.len()..];
            let count = read_at_once(rest.iter().map(PairFiles::bytes));
            let looked: Vec<Result<(Look, T)>> = rest[..count].par_iter().map(|pair| pair.look(&keep)).collect();
            let kept = looked.into_iter().map(|looked| {
                let (look, kept) = looked?;
                self.add(look);
                Ok(kept)
            });
            all.extend(kept);
            done(all.len());
        }
        all
    }
}
