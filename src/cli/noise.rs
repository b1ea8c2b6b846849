//! What `denoise` tells of the noise of a file.

use std::fmt;

use n2n_gpu::denoise::Estimate;
use serde_json::{Map, Value, json};

/// What each page was judged by, if that was asked for: nothing of a page that is too small, or black and white.
#[derive(Default)]
pub(super) struct Noise(pub(super) Vec<Option<Estimate>>);

impl fmt::Display for Noise {
    /// For people: `; the model sees noise of about 1.9 to 3.4 of 255, strength 0.36 to 0.96`, as a part of a line.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let told: Vec<&Estimate> = self.0.iter().flatten().collect();
        match told[..] {
            [] if self.0.is_empty() => return Ok(()),
            [] => return write!(f, "; too small, or too black and white, to tell its noise: strength 1"),
            [one] => write!(f, "; the model sees {one}")?,
            _ => {
                let noise = range(told.iter().map(|found| found.noise));
                let strength = range(told.iter().map(|found| f64::from(found.strength)));
                let ([least, most], [weakest, strongest]) = (noise, strength);
                write!(
                    f,
                    "; the model sees noise of about {least:.1} to {most:.1} of 255, strength {weakest:.2} to {strongest:.2}"
                )?;
            }
        }
        match self.0.len() - told.len() {
            0 => Ok(()),
            1 => write!(f, "; 1 page too small, or too black and white, to tell its noise: strength 1"),
            pages => write!(f, "; {pages} pages too small, or too black and white, to tell their noise: strength 1"),
        }
    }
}

fn range(values: impl Iterator<Item = f64> + Clone) -> [f64; 2] {
    [values.clone().fold(f64::INFINITY, f64::min), values.fold(f64::NEG_INFINITY, f64::max)]
}

impl Noise {
    /// For `--json`: noise and strength of the first page, and those of every page where there are several.
    pub(super) fn json(&self) -> Map<String, Value> {
        let page = |found: Option<Estimate>| json!({"noise": found.map(|e| e.noise), "strength": found.map(|e| e.strength)});
        let mut json = page(self.0.first().copied().flatten());
        if self.0.len() > 1 {
            json["pages"] = self.0.iter().map(|found| page(*found)).collect();
        }
        let Value::Object(entries) = json else { unreachable!("a page is an object") };
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_is_told() {
        let page = |noise, strength| Some(Estimate { noise, strength });
        for (pages, line) in [
            (vec![], ""),
            (vec![None], "; too small, or too black and white, to tell its noise: strength 1"),
            (vec![page(1.94, 0.36)], "; the model sees noise of about 1.9 of 255, strength 0.36"),
            (
                vec![page(3.0, 0.5), page(1.0, 0.25), page(2.0, 0.75)],
                "; the model sees noise of about 1.0 to 3.0 of 255, strength 0.25 to 0.75",
            ),
            (
                vec![None, page(3.0, 0.5)],
                "; the model sees noise of about 3.0 of 255, strength 0.50; 1 page too small, or too black and white, to tell its noise: strength 1",
            ),
        ] {
            assert_eq!(Noise(pages).to_string(), line);
        }
        assert_eq!(Value::from(Noise(vec![page(3.0, 0.5)]).json()), json!({"noise": 3.0, "strength": 0.5}));
        let pages = [json!({"noise": null, "strength": null}), json!({"noise": 3.0, "strength": 0.5})];
        let two = Noise(vec![None, page(3.0, 0.5)]).json();
        assert_eq!(Value::from(two), json!({"noise": null, "strength": null, "pages": pages}));
    }
}
