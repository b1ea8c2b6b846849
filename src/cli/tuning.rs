//! What the tuner found, on disk: one file for every adapter, which another driver or version does not take over.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use n2n_gpu::data::files::save_bytes;
use n2n_gpu::gpu::{Adapter, Gpu, Tuner};
use n2n_gpu::plan::{Tuning, TuningKey};
use serde::{Deserialize, Serialize};

use super::output::complain;

/// Of the file; older ones are ignored.
const FORMAT: u32 = 2;

#[derive(Serialize, Deserialize)]
struct File {
    #[serde(default)]
    format: u32,
    version: String,
    adapter: String,
    backend: String,
    driver: String,
    #[serde(default)]
    choices: Vec<Choice>,
}

/// The fastest variant of an op.
#[derive(Serialize, Deserialize)]
struct Choice {
    #[serde(flatten)]
    key: TuningKey,
    variant: usize,
}

impl File {
    fn new(adapter: &Adapter, tuning: &Tuning) -> Self {
        let Adapter { name, backend, driver, .. } = adapter.clone();
        let choices = tuning.entries().iter().map(|(key, &variant)| Choice { key: key.clone(), variant }).collect();
        Self { format: FORMAT, version: env!("CARGO_PKG_VERSION").to_owned(), adapter: name, backend, driver, choices }
    }

    /// Reads what an earlier run found; `Err` says why it does not count.
    fn load(path: &Path, adapter: &Adapter) -> Result<Tuning, String> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            // A cache that is a file says so once there is something to keep.
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(Tuning::default()),
            Err(e) => return Err(format!("cannot be read ({e})")),
        };
        let file: Self = serde_json::from_str(&text).map_err(|_| "is damaged".to_owned())?;
        let wanted = Self::new(adapter, &Tuning::default());
        if file.format != FORMAT {
            return Err(format!("is of format {}, not {FORMAT}", file.format));
        }
        if file.version != wanted.version {
            return Err(format!("is of version {}", file.version));
        }
        if (&file.adapter, &file.backend, &file.driver) != (&wanted.adapter, &wanted.backend, &wanted.driver) {
            return Err(format!("is of {} with driver {}", file.adapter, file.driver));
        }
        let mut tuning = Tuning::default();
        file.choices.into_iter().for_each(|c| tuning.set(c.key, c.variant));
        Ok(tuning)
    }
}

/// The file for an adapter: in `N2N_CACHE`, or the user's folder for caches. None where there is no such folder.
fn place(adapter: &Adapter) -> Option<PathBuf> {
    let own = std::env::var_os("N2N_CACHE").filter(|v| !v.is_empty()).map(PathBuf::from);
    let folder = own.or_else(|| dirs::cache_dir().map(|d| d.join("n2n-gpu")))?;
    let words = format!("{} {}", adapter.name, adapter.backend).to_lowercase();
    let words: Vec<&str> = words.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).collect();
    Some(folder.join(format!("tuning-{}.json", words.join("-"))))
}

/// Gives a GPU what earlier runs found; with `measure` it finds out the rest, and keeps it. What goes wrong with the file costs
/// nothing but a line.
pub(super) fn load(gpu: &mut Gpu, measure: bool, quiet: bool) {
    let remark = move |line: String| {
        if !quiet {
            complain(&line);
        }
    };
    let adapter = gpu.adapter.clone();
    let Some(path) = place(&adapter) else { return };
    let tuning = File::load(&path, &adapter).unwrap_or_else(|why| {
        remark(format!("{} {why}: ignored, --tune makes another", path.display()));
        Tuning::default()
    });
    let told = AtomicBool::new(false);
    let save = move |tuning: &Tuning| {
        let file = File::new(&adapter, tuning);
        let text = serde_json::to_string_pretty(&file).expect("a list of numbers is plain data");
        let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        let saved = folder.map_err(|e| format!("{}: {e}", path.display()));
        match saved.and_then(|()| save_bytes(&path, text.as_bytes()).map_err(|e| e.to_string())) {
            Ok(()) => remark(format!("{} tiles chosen for {}, kept in {}", file.choices.len(), adapter.name, path.display())),
            // Every plan of a run comes here: once is enough.
            Err(_) if told.swap(true, Ordering::Relaxed) => {}
            Err(e) => remark(format!("what --tune found counts for this run alone: {e}")),
        }
    };
    gpu.set_tuner(Tuner::new(tuning, measure, save));
}
