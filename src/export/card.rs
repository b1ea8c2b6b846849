//! What programs show of a model, and its file does not tell.

use std::path::Path;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::nets::Model;

/// A model's name, and whose it is.
#[derive(Clone, Debug)]
pub struct Card {
    /// Short name: small letters, digits, dashes.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Who trained it.
    pub author: Option<String>,
    /// Under which licence it is given away.
    pub license: Option<String>,
    /// Pictures that it was trained on.
    pub pictures: Option<usize>,
}

/// What of a run's `config.toml` goes into a card.
#[derive(Deserialize)]
struct Config {
    pictures: usize,
}

impl Card {
    /// The card of the model at `path`, called after its file, or after its run, of which `config.toml` tells the pictures.
    pub fn of(path: &Path) -> Self {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let config = std::fs::read_to_string(path.with_file_name("config.toml")).ok();
        let pictures = config.and_then(|text| toml::from_str::<Config>(&text).ok()).map(|config| config.pictures);
        let of_run = path.parent().filter(|_| pictures.is_some()).and_then(Path::file_name);
        let name = of_run.or(path.file_stem()).unwrap_or_default().to_string_lossy().into_owned();
        Self { id: id(&name), name: format!("n2n-gpu {name}"), author: None, license: None, pictures }
    }

    /// Refuses an id that other programs may not take for the name of a folder.
    pub(super) fn check(&self) -> Result<()> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if !self.id.is_empty() && self.id.chars().all(plain) {
            return Ok(());
        }
        let problem = format!("{:?}: it is made of small letters, digits and dashes", self.id);
        Err(Error::option("id", problem))
    }

    /// What it was trained on, in a sentence.
    pub(super) fn training_data(&self, model: &Model) -> String {
        let scenes =
            self.pictures.map_or("Scenes".to_owned(), |count| format!("{count} scene{}", if count == 1 { "" } else { "s" }));
        match model.noise.as_str() {
            "pairs" => format!("{scenes}, two noisy pictures of each."),
            noise => format!("{scenes}, with noise of the kind {noise}."),
        }
    }

    /// How it was trained, in a sentence.
    pub(super) fn history(model: &Model) -> String {
        let (net, steps, version) = (model.network.describe(), model.steps, &model.version);
        format!(
            "{net}; trained for {steps} steps by n2n-gpu {version} from noisy pictures alone (Noise2Noise, Lehtinen et al. 2018)."
        )
    }
}

/// A name as an id: `n2n-` and its small letters and digits, with dashes between words. No model of another maker begins so.
fn id(name: &str) -> String {
    let plain: String = name.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let words: Vec<_> = plain.split('-').filter(|word| !word.is_empty() && *word != "n2n").collect();
    std::iter::once("n2n").chain(words).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::id;

    #[test]
    fn ids_are_plain_words_whatever_the_name() {
        for (name, wanted) in
            [("My Camera (ISO 3200)", "n2n-my-camera-iso-3200"), ("../..", "n2n"), ("n2n-run", "n2n-run"), ("é/\\\n", "n2n")]
        {
            assert_eq!(id(name), wanted);
            assert_eq!(id(wanted), wanted);
        }
    }
}
