//! What of the pictures is held out for validation.

use super::{Source, TrainingPicture};

/// Most pictures that are held out.
const HELD_OUT: usize = 16;
/// Fewest shots of a single scene of which some are held out.
const SHOTS: usize = 4;
/// Fewest pages of a stack of which some are held out.
const PAGES: usize = 8;

type Scenes = Vec<Vec<TrainingPicture>>;

/// Takes about one in twenty out, spread evenly: what is held out, and the rest.
pub(super) fn hold_out<T>(all: Vec<T>) -> (Vec<T>, Vec<T>) {
    let chosen = chosen(all.len());
    let is_held_out = |i: usize| chosen.clone().any(|chosen| chosen == i);
    let (held_out, rest): (Vec<_>, Vec<_>) = all.into_iter().enumerate().partition(|(i, _)| is_held_out(*i));
    let plain = |numbered: Vec<(usize, T)>| numbered.into_iter().map(|(_, one)| one).collect();
    (plain(held_out), plain(rest))
}

/// Takes about one picture or scene in twenty out of `source`, spread evenly, for validation: (training, held out). Of a single
/// scene two shots are held out, and of stacks whose neighbouring pages make pairs, pages in the middle of the longest. Where
/// there are too few, both are the same. Of pictures without a second shot all are trained on.
pub fn split(mut source: Source) -> (Source, Source) {
    let scenes = source.take_scenes();
    let parts = match scenes.len() {
        // What learns from itself is not validated, but only looked at.
        _ if source.is_single() => {
            let shown = chosen(scenes.len()).map(|i| scenes[i].clone()).collect();
            Ok([scenes, shown])
        }
        _ if source.has_neighbours() => split_stacks(scenes),
        1 => split_shots(scenes),
        _ => Ok(split_scenes(scenes)),
    };
    match parts {
        Ok(parts) => parts.map(|scenes| source.with_scenes(scenes)).into(),
        Err(scenes) => (source.with_scenes(scenes.clone()), source.with_scenes(scenes)),
    }
}

/// How many are held out of so many.
fn share(count: usize) -> usize {
    (count / 20).clamp(1, HELD_OUT)
}

/// Which ones of so many.
fn chosen(len: usize) -> impl Iterator<Item = usize> + Clone {
    let count = share(len);
    (0..count).map(move |k| (2 * k + 1) * len / (2 * count))
}

/// Training and held-out scenes.
fn split_scenes(scenes: Scenes) -> [Scenes; 2] {
    let (held_out, training) = hold_out(scenes);
    [training, held_out]
}

/// The shots of a single scene; what was given if there are too few.
fn split_shots(mut scenes: Scenes) -> Result<[Scenes; 2], Scenes> {
    match scenes[0].len() {
        len if len >= SHOTS => {
            let held_out = scenes[0].split_off(len - 2);
            Ok([scenes, vec![held_out]])
        }
        _ => Err(scenes),
    }
}

/// The longest stack in three parts, of which the middle one is held out; what was given if it is too short.
fn split_stacks(mut stacks: Scenes) -> Result<[Scenes; 2], Scenes> {
    let pages: usize = stacks.iter().map(Vec::len).sum();
    let Some(longest) = stacks.iter_mut().max_by_key(|stack| stack.len()).filter(|stack| stack.len() >= PAGES) else {
        return Err(stacks);
    };
    // A page more than pairs.
    let held_out = (share(pages) + 1).min(longest.len() / 2 - 1);
    let mut middle = longest.split_off((longest.len() - held_out) / 2);
    let end = middle.split_off(held_out);
    stacks.push(end);
    Ok([stacks, vec![middle]])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenes(lens: &[usize]) -> Scenes {
        let picture = |i: usize, k: usize| TrainingPicture::from_f32(format!("{i}-{k}"), 1, 1, vec![(10 * i + k) as f32; 3]);
        lens.iter().enumerate().map(|(i, &len)| (0..len).map(|k| picture(i, k)).collect()).collect()
    }

    fn lens(source: Source) -> Vec<usize> {
        source.scenes().iter().map(Vec::len).collect()
    }

    #[test]
    fn scenes_or_shots_or_pages_are_held_out() {
        for (given, training, held_out) in
            [(&[2; 3][..], &[2; 2][..], &[2][..]), (&[5], &[3], &[2]), (&[3], &[3], &[3]), (&[3, 4, 2], &[3, 2], &[4])]
        {
            let (a, b) = split(Source::shots(scenes(given)).unwrap());
            assert_eq!((lens(a), lens(b)), (training.to_vec(), held_out.to_vec()), "{given:?}");
        }
        for (given, training, held_out) in [
            (&[10][..], &[4, 4][..], &[2][..]),
            (&[100, 8], &[47, 8, 47], &[6]),
            (&[5, 3], &[5, 3], &[5, 3]),
            (&[8], &[3, 3], &[2]),
        ] {
            let (a, b) = split(Source::neighbours(scenes(given)).unwrap());
            assert_eq!((lens(a), lens(b)), (training.to_vec(), held_out.to_vec()), "{given:?}");
        }
    }
}
