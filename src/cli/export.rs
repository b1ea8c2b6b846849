//! `n2n-gpu export`.

use std::path::PathBuf;

use clap::Args;
use n2n_gpu::data::files::save_bytes;
use n2n_gpu::error::{Error, shown};
use n2n_gpu::export::{Card, bioimage, darktable, oidn, onnx, web};
use n2n_gpu::nets::Model;
use serde_json::json;

use super::Usage;
use super::files::{check_existing, check_outputs};
use super::model::{self, best, load_model, named};
use super::output::{Output, path_text};
use super::train::make_folder;

/// Photographs that the page of --web can train on, all without conditions (assets/LICENSES.md). The middle one is held out.
const PHOTOS: &[&[u8]] = &[
    include_bytes!("../../assets/blue-flowers.jpg"),
    include_bytes!("../../assets/singapore.jpg"),
    include_bytes!("../../assets/lake-sherburne.jpg"),
    include_bytes!("../../assets/otters.jpg"),
    include_bytes!("../../assets/seeding.jpg"),
];

/// Arguments of `export`.
#[derive(Args, Debug)]
pub(super) struct Options {
    /// Model that `train` or `import` wrote, or the name of one in the box
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    #[command(flatten)]
    targets: Targets,
    /// Another model to choose on the page of --web; may be given several times
    #[arg(long, value_name = "MODEL", requires = "web")]
    also: Vec<PathBuf>,
    /// Side of the pictures that the network is given, pixels [default: any size for --onnx, 768 for --darktable, 64 for --web,
    /// of crops to train on]
    #[arg(long, value_name = "T")]
    size: Option<usize>,
    /// Short name in --darktable, as of a folder [default: that of the run or the file]
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Name that people see
    #[arg(long)]
    name: Option<String>,
    /// Who trained it
    #[arg(long)]
    author: Option<String>,
    /// Licence of the model, such as CC-BY-4.0
    #[arg(long)]
    license: Option<String>,
    /// Replace files that exist
    #[arg(short, long)]
    force: bool,
}

/// Files to write.
#[derive(Args, Debug)]
#[group(required = true, multiple = true)]
struct Targets {
    /// For ONNX Runtime, OpenVINO and others: FILE.onnx
    #[arg(long, value_name = "FILE")]
    onnx: Option<PathBuf>,
    /// For darktable 5.6: FILE.dtmodel
    #[arg(long, value_name = "FILE")]
    darktable: Option<PathBuf>,
    /// For the model zoo bioimage.io: FILE.zip
    #[arg(long, value_name = "FILE", requires_all = ["author", "license"])]
    bioimage: Option<PathBuf>,
    /// For Intel Open Image Denoise 2, of a network that it has: FILE.tza
    #[arg(long, value_name = "FILE")]
    oidn: Option<PathBuf>,
    /// For this program, in half precision: FILE.safetensors of half the size
    #[arg(long, value_name = "FILE")]
    half: Option<PathBuf>,
    /// For browsers: a page that denoises photographs in the tab, DIR/index.html
    #[arg(long, value_name = "DIR")]
    web: Option<PathBuf>,
}

/// What models are exported to.
#[derive(Clone, Copy)]
enum Kind {
    Onnx,
    Darktable,
    Bioimage,
    Oidn,
    Half,
    Web,
}

/// A file that is asked for.
struct Target {
    kind: Kind,
    flag: &'static str,
    path: PathBuf,
}

impl Targets {
    fn list(&self) -> Vec<Target> {
        let all = [
            (Kind::Onnx, "--onnx", &self.onnx),
            (Kind::Darktable, "--darktable", &self.darktable),
            (Kind::Bioimage, "--bioimage", &self.bioimage),
            (Kind::Oidn, "--oidn", &self.oidn),
            (Kind::Half, "--half", &self.half),
            (Kind::Web, "--web", &self.web.as_ref().map(|folder| folder.join("index.html"))),
        ];
        let asked = |(kind, flag, path): (_, _, &Option<PathBuf>)| Some(Target { kind, flag, path: path.clone()? });
        all.into_iter().filter_map(asked).collect()
    }
}

impl Target {
    fn check_name(&self) -> Result<(), Error> {
        let ending = match self.kind {
            Kind::Onnx => "onnx",
            Kind::Darktable => "dtmodel",
            Kind::Bioimage => "zip",
            Kind::Oidn => "tza",
            Kind::Half => "safetensors",
            Kind::Web => "html",
        };
        if self.path.extension().is_some_and(|e| e.eq_ignore_ascii_case(ending)) {
            return Ok(());
        }
        Err(Error::format(&self.path, format!("{} writes files whose names end in .{ending}", self.flag)))
    }

    /// Whether there is a folder for it: before any file is written.
    fn check_folder(&self) -> Result<(), Error> {
        match self.path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) {
            // It is made for the page.
            Some(_) if matches!(self.kind, Kind::Web) => Ok(()),
            Some(folder) => Err(Error::file(&self.path, format!("its folder {} does not exist: create it first", shown(folder)))),
            None => Ok(()),
        }
    }

    fn bytes(&self, model: &Model, options: &Options) -> Result<Vec<u8>, Error> {
        match self.kind {
            Kind::Onnx => onnx::export(model, options.size),
            Kind::Darktable => darktable::export(model, options.size, &options.card()),
            Kind::Bioimage => bioimage::export(model, &options.card()),
            Kind::Oidn => oidn::export(model),
            Kind::Half => Ok(model.half_file()),
            Kind::Web => options.page(model),
        }
    }
}

impl Options {
    /// The page of `--web` with the model and those of `--also`.
    fn page(&self, model: &Model) -> Result<Vec<u8>, Error> {
        let others = self.also.iter().map(|path| load_model(path)).collect::<Result<Vec<_>, _>>()?;
        let models = std::iter::once((&self.model, model)).chain(self.also.iter().zip(&others));
        let names: Vec<_> = models.map(|(path, model)| (named(path), model)).collect();
        let entries: Vec<_> = names.iter().map(|((name, about), model)| web::Entry { name, about, model }).collect();
        web::export(&entries, web::Extras { photos: PHOTOS, crop: self.size })
    }

    fn card(&self) -> Card {
        let Card { id, name, pictures, .. } = Card::of(&best(&self.model));
        Card {
            id: self.id.clone().unwrap_or(id),
            name: self.name.clone().unwrap_or(name),
            author: self.author.clone(),
            license: self.license.clone(),
            pictures,
        }
    }
}

pub(super) fn run(options: &Options) -> anyhow::Result<Output> {
    let targets = options.targets.list();
    if options.size.is_some() && !targets.iter().any(|t| matches!(t.kind, Kind::Onnx | Kind::Darktable | Kind::Web)) {
        return Err(Usage::new("--size is for --onnx, --darktable and --web: the others have no fixed size"));
    }
    targets.iter().try_for_each(Target::check_name)?;
    targets.iter().try_for_each(Target::check_folder)?;
    let results: Vec<_> = targets.iter().map(|t| (t.flag.into(), t.path.clone())).collect();
    let models: Vec<_> = std::iter::once(&options.model).chain(&options.also).filter_map(|path| model::file(path)).collect();
    let read: Vec<_> = models.iter().map(PathBuf::as_path).collect();
    check_outputs("export", &read, &results, None)?;
    check_existing(options.force, targets.iter().map(|target| target.path.as_path()))?;
    let model = load_model(&options.model)?;
    // All of them, before any is written.
    let files = targets.iter().map(|t| Ok((&t.path, t.bytes(&model, options)?))).collect::<Result<Vec<_>, Error>>()?;
    if let Some(folder) = &options.targets.web {
        make_folder("--web", folder)?;
    }
    for (path, bytes) in &files {
        save_bytes(path, bytes)?;
    }
    let list: Vec<_> = files.iter().map(|(path, bytes)| json!({"path": path_text(path), "bytes": bytes.len()})).collect();
    let text: Vec<_> = files.iter().map(|(path, bytes)| format!("{}: {} bytes", path.display(), bytes.len())).collect();
    Ok(Output::new(json!({"net": model.network.name(), "files": list}), text.join("\n")))
}
