//! What a look at pairs of shots finds, and that it finds nothing where there is nothing.

use std::path::Path;

use n2n_gpu::data::inspect::{Inspector, Kind, Look, Mends, Report, SingleLook, SingleReport, in_words};
use n2n_gpu::data::picture::{Picture, Rgb8, load_rgb8};
use n2n_gpu::noise::{Clean, Noise};

const WIDTH: usize = 280;
const HEIGHT: usize = 232;
const PHOTOS: [&str; 10] = [
    "blue-flowers",
    "brushes",
    "casa-mila",
    "coffee",
    "gallery",
    "lake-sherburne",
    "otters",
    "picos-de-europa",
    "seeding",
    "tea-gardens",
];

/// A clean scene: a part of a photograph, as values in [0, 1].
#[derive(Clone)]
struct Scene {
    values: Vec<f32>,
    width: usize,
}

impl Scene {
    /// The part of a photograph of the assets that begins at `left` and 10 rows down.
    fn new(photo: &str, left: usize) -> Self {
        let path = Path::new("assets").join(photo).with_extension("jpg");
        let Rgb8 { width, data, .. } = load_rgb8(&[path]).unwrap().remove(0);
        let row = |y: usize| &data[((y + 10) * width + left) * 3..][..WIDTH * 3];
        Self { values: (0..HEIGHT).flat_map(row).map(|&v| f32::from(v) / 255.0).collect(), width: WIDTH }
    }

    fn map(mut self, of: impl Fn(f32) -> f32) -> Self {
        self.values.iter_mut().for_each(|v| *v = of(*v));
        self
    }

    /// The mean of squares of 2 * `radius` + 1 pixels, cut off at the borders.
    fn blurred(&self, radius: usize) -> Self {
        let (w, h) = (self.width, self.values.len() / self.width / 3);
        let around = |i: usize, n: usize| i.saturating_sub(radius)..(i + radius + 1).min(n);
        let along = |values: &[f32], across: bool| -> Vec<f32> {
            let mean = |i: usize| {
                let (c, x, y) = (i % 3, i / 3 % w, i / 3 / w);
                let near = if across { around(x, w) } else { around(y, h) };
                let n = near.len() as f32;
                near.map(|k| values[(if across { y * w + k } else { k * w + x }) * 3 + c]).sum::<f32>() / n
            };
            (0..values.len()).map(mean).collect()
        };
        Self { values: along(&along(&self.values, true), false), width: w }
    }

    /// Values of shot `n`, of which 0 and 1, 2 and 3, and so on, are taken with one camera.
    fn values(&self, law: &str, n: u32) -> Vec<f32> {
        let noise: Noise = law.parse().unwrap();
        let height = self.values.len() / self.width / 3;
        if !law.starts_with("camera") {
            return noise.expose(Clean { rgb: &self.values, width: self.width, height }, 11, n, 0).values;
        }
        // A camera is drawn with the number of a picture, and so is its noise: other noise needs a wider picture.
        let more = 16 * (n as usize % 2);
        let rows = self.values.chunks(3 * self.width);
        let wide: Vec<f32> = rows.flat_map(|row| row[..3 * more].iter().chain(row).copied()).collect();
        let values = noise.expose(Clean { rgb: &wide, width: self.width + more, height }, 11, n / 2, 0).values;
        values.chunks(3 * (self.width + more)).flat_map(|row| row[3 * more..].iter().copied()).collect()
    }

    /// A shot of it, rounded to 8 bits and clipped.
    fn shot(&self, noise: &str, shot: u32) -> Picture {
        picture(&self.values(noise, shot))
    }
}

fn picture(values: &[f32]) -> Picture {
    let bytes: Vec<u8> = values.iter().map(|v| (v * 255.0 + 0.5) as u8).collect();
    Picture::from_rgb8(WIDTH, bytes.len() / 3 / WIDTH, &bytes)
}

fn report(pairs: &[[Picture; 2]]) -> Report {
    let mut inspector = Inspector::default();
    for (i, [a, b]) in pairs.iter().enumerate() {
        let labels = ["a", "b"].map(|folder| format!("{folder}/{i}"));
        inspector.add(Look::new(&i.to_string(), [&labels[0], &labels[1]], [a, b]));
    }
    inspector.finish()
}

/// The faults that were found, and in what.
fn faults(report: &Report) -> Vec<(Kind, &str)> {
    report.findings.iter().filter(|f| f.kind.is_fault()).map(|f| (f.kind, f.place.as_str())).collect()
}

/// Two shots of each of some scenes.
fn shots(scenes: &[Scene], noise: &str) -> Vec<[Picture; 2]> {
    let shot = |i: usize, k: u32| scenes[i].shot(noise, 2 * i as u32 + k);
    (0..scenes.len()).map(|i| [shot(i, 0), shot(i, 1)]).collect()
}

fn scenes(count: usize) -> Vec<Scene> {
    PHOTOS[..count].iter().map(|photo| Scene::new(photo, 20)).collect()
}

/// A name, and what it does to a scene.
type Light = (&'static str, fn(Scene) -> Scene);

#[test]
fn a_hundred_clean_sets_raise_no_alarm() {
    let laws = [
        "gaussian:5",
        "gaussian:15",
        "gaussian:25",
        "gaussian:50",
        "poisson:5",
        "poisson:60",
        "poisson-gaussian:30,5",
        "camera:1,2,100",
        "camera:8,2,90",
        "camera:4",
    ];
    let lights: [Light; 5] = [
        ("as it is", |s| s),
        ("dark", |s| s.map(|v| 0.15 * v)),
        ("bright", |s| s.map(|v| 0.75 + 0.25 * v)),
        ("smooth", |s| s.blurred(12)),
        ("not clipped", |s| s.map(|v| 0.4 + 0.2 * v)),
    ];
    let photos: Vec<Scene> = scenes(PHOTOS.len());
    let (mut sets, mut alarms) = (0, Vec::new());
    for (n, law) in laws.into_iter().enumerate() {
        for (m, (light, lit)) in lights.into_iter().enumerate() {
            for at in [n + m, n + 2 * m + 5] {
                let set: Vec<Scene> = [0, 3, 4].iter().map(|k| lit(photos[(at + k) % photos.len()].clone())).collect();
                let found = report(&shots(&set, law));
                if found.faults() > 0 {
                    alarms.push(format!("{law}, {light}, {at}: {:#?}", in_words(&found.findings)));
                }
                sets += 1;
            }
        }
    }
    assert!(sets == 100 && alarms.is_empty(), "{} false alarms:\n{}", alarms.len(), alarms.join("\n"));
}

/// Whether a fault of this kind, and no other one, was found in every one of so many pairs.
#[track_caller]
fn only(report: &Report, kind: Kind, pairs: usize) {
    let faults: Vec<_> = report.findings.iter().filter(|f| f.kind.is_fault()).collect();
    assert!(faults.len() == pairs && faults.iter().all(|f| f.kind == kind), "{:#?}", in_words(&report.findings));
}

#[test]
fn shifts_of_pixels_and_of_parts_of_them_are_found() {
    for noise in ["gaussian:5", "gaussian:50", "poisson:20", "camera:4,2,90"] {
        for photo in ["otters", "coffee"] {
            for x in [-2, 2, 8, 40] {
                let [a, b] = [100, 100 - x].map(|left| Scene::new(photo, left as usize));
                let found = report(&[[a.shot(noise, 0), b.shot(noise, 1)]]);
                assert_eq!(faults(&found), [(Kind::Shift, "0")], "{noise}, {photo}, {x}");
                let shift = found.pairs[0].measured.as_ref().unwrap().shift;
                assert!((shift[0] - f64::from(x)).abs() < 0.5 && shift[1].abs() < 0.5, "{noise}, {photo}, {x}: {shift:?}");
            }
        }
    }
    for noise in ["gaussian:5", "gaussian:25", "poisson:20", "camera:4,2,90"] {
        // Parts of a pixel, with the blur of the mean of two on both sides.
        let [mut a, mut b] = [Scene::new("otters", 100), Scene::new("otters", 100)];
        let [left, right] = [99, 101].map(|left| Scene::new("otters", left));
        let mean = |to: &mut Scene, other: &Scene| to.values.iter_mut().zip(&other.values).for_each(|(v, o)| *v = 0.5 * (*v + o));
        mean(&mut a, &right);
        mean(&mut b, &left);
        let found = report(&[[a.shot(noise, 0), b.shot(noise, 1)]]);
        let shift = found.pairs[0].measured.as_ref().unwrap().shift;
        assert!((shift[0] - 1.0).abs() < 0.2 && shift[1].abs() < 0.2, "{noise}: {shift:?}");
    }
}

#[test]
fn a_drift_of_brightness_is_found_and_undone() {
    for noise in ["gaussian:5", "gaussian:50", "poisson:20", "camera:4,2,90"] {
        for share in [0.97, 1.03] {
            let pairs = scenes(4).into_iter().zip(0..).map(|(scene, i)| {
                let other = scene.clone().map(|v| share * v);
                [scene.shot(noise, 2 * i), other.shot(noise, 2 * i + 1)]
            });
            let pairs: Vec<[Picture; 2]> = pairs.collect();
            let found = report(&pairs);
            only(&found, Kind::Brightness, 4);
            for [a, b] in &pairs {
                let mut look = Look::new("x", ["a", "b"], [a, b]);
                let mended = Mends { brightness: true, align: false }.mend(&mut look, [a.clone(), b.clone()]);
                assert!(look.findings.iter().all(|f| !f.kind.is_fault()) && report(&[mended]).faults() == 0, "{noise}, {share}");
            }
        }
    }
}

#[test]
fn pictures_that_do_not_belong_together_are_found() {
    for noise in ["gaussian:5", "gaussian:50", "camera:4,2,90"] {
        let clean = shots(&scenes(6), noise);
        // Pairs 1 and 2 have each other's second shot; pair 4 has one of a scene that is nowhere else.
        let mut pairs = clean.clone();
        (pairs[1][1], pairs[2][1]) = (clean[2][1].clone(), clean[1][1].clone());
        pairs[4][1] = Scene::new("spices", 20).shot(noise, 77);
        let found = report(&pairs);
        assert_eq!(faults(&found), [(Kind::Swapped, "1"), (Kind::Swapped, "2"), (Kind::Scene, "4")], "{noise}");
        // The same file in both folders, and in two pairs.
        let mut pairs = clean.clone();
        pairs[0][1] = pairs[0][0].clone();
        pairs[3][0] = pairs[5][0].clone();
        let found = report(&pairs);
        assert_eq!(faults(&found), [(Kind::Identical, "0"), (Kind::Scene, "3"), (Kind::Identical, "a/5")], "{noise}");
    }
}

#[test]
fn noise_that_stays_is_found() {
    for (share, columns) in [(0.3, false), (0.5, false), (0.3, true)] {
        let mut normals = n2n_gpu::ops::random_normals(9, 0);
        let pattern: Vec<f64> = (0..WIDTH * HEIGHT * 3).map(|_| normals.next().unwrap()).collect();
        let at = |i: usize| if columns { pattern[i / 3 % WIDTH] } else { pattern[i] };
        let pairs = scenes(5).into_iter().zip(0..).map(|(scene, i)| {
            [0, 1].map(|k| {
                let mut values = scene.values("gaussian:20", 2 * i + k);
                values.iter_mut().enumerate().for_each(|(i, v)| *v += (share * 20.0 / 255.0 * at(i)) as f32);
                picture(&values)
            })
        });
        only(&report(&pairs.collect::<Vec<_>>()), Kind::Pattern, 1);
    }
}

#[test]
fn noise_of_neighbours_that_is_coupled_is_told_and_is_no_fault() {
    for (noise, cause) in [("brown:25,1.5", "filter"), ("camera:4,2,0", "demosaicking"), ("camera:4,2,80", "")] {
        let found = report(&shots(&scenes(4), noise));
        let told = found.findings.iter().filter(|f| f.kind == Kind::Correlation && f.problem.contains(cause)).count();
        // A quarter of the cameras have no mosaic.
        assert!(told >= 2 && found.faults() == 0, "{noise}: {:#?}", in_words(&found.findings));
    }
    // White noise, saved as JPEG.
    let pairs: Vec<[Picture; 2]> = shots(&scenes(3), "gaussian:20").iter().map(|pair| pair.each_ref().map(as_jpeg)).collect();
    let found = report(&pairs);
    let told = found.findings.iter().filter(|f| f.kind == Kind::Correlation && f.problem.contains("JPEG")).count();
    assert!(told == 3 && found.faults() == 0, "{:#?}", in_words(&found.findings));
}

/// A picture as JPEG leaves it.
fn as_jpeg(picture: &Picture) -> Picture {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jpg");
    let bytes = image::RgbImage::from_raw(WIDTH as u32, HEIGHT as u32, picture.to_rgb8()).unwrap();
    let mut file = std::fs::File::create(&path).unwrap();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut file, 60).encode_image(&bytes).unwrap();
    Picture::load(&path).unwrap()
}

/// A look at single pictures.
fn single_report(pictures: &[Picture]) -> SingleReport {
    let name = |i: usize| i.to_string();
    SingleReport::new(pictures.iter().enumerate().map(|(i, picture)| SingleLook::new(&name(i), &name(i), picture)).collect(), &[])
}

#[test]
fn single_pictures_with_independent_noise_raise_no_alarm() {
    for noise in ["gaussian:15", "gaussian:25", "gaussian:50", "poisson:30"] {
        let pictures: Vec<Picture> = scenes(10).iter().zip(0..).map(|(scene, i)| scene.shot(noise, i)).collect();
        let found = single_report(&pictures);
        let faults: Vec<_> = found.findings.iter().filter(|f| f.kind.is_fault()).collect();
        assert!(faults.is_empty(), "{noise}: {faults:#?}");
        if let Some(deviation) = noise.strip_prefix("gaussian:") {
            // Where the mean is a quarter, 50 is cut off at 1.3 deviations, which leaves seven eighths; texture adds to 15.
            let wanted: f64 = deviation.parse().unwrap();
            assert!(found.noise().iter().all(|noise| (noise / wanted - 1.0).abs() < 0.2), "{noise}: {:?}", found.noise());
        }
    }
}

#[test]
fn single_pictures_whose_noise_is_spread_are_told() {
    for noise in ["brown:25,1.5", "gaussian:20"] {
        let shot = |(scene, i): (&Scene, u32)| match scene.shot(noise, i) {
            shot if noise.starts_with("brown") => shot,
            shot => as_jpeg(&shot),
        };
        let found = single_report(&scenes(6).iter().zip(0..).map(shot).collect::<Vec<_>>());
        let told = found.findings.iter().filter(|f| f.kind == Kind::Spread).count();
        let shares: Vec<f64> = found.pictures.iter().filter_map(|look| look.correlation).collect();
        assert_eq!(told, 6, "{noise}: {shares:.2?}");
    }
    // Along one axis alone, by a filter that lets each pixel have half of the one before.
    let along = |i: u32| {
        let values = Scene::new("otters", 20).shot("gaussian:20", i).to_rgb8();
        let half = |k: usize| if k % (3 * WIDTH) < 3 { values[k] } else { values[k].midpoint(values[k - 3]) };
        Picture::from_rgb8(WIDTH, HEIGHT, &(0..values.len()).map(half).collect::<Vec<_>>())
    };
    assert!(single_report(&[along(0)]).findings.iter().any(|f| f.kind == Kind::Spread));
    // One that is there twice.
    let shot = Scene::new("otters", 20).shot("gaussian:25", 0);
    let found = single_report(&[shot.clone(), Scene::new("coffee", 20).shot("gaussian:25", 1), shot]);
    assert_eq!(found.findings.iter().filter(|f| f.kind == Kind::Identical).count(), 1);
}

#[test]
fn slopes_and_margins_of_single_pictures_are_no_noise() {
    let slope = |x: usize| 0.1 + 0.8 * (x % 128) as f32 / 128.0;
    let scene = Scene { values: (0..3 * WIDTH * HEIGHT).map(|i| slope(i / 3 % WIDTH)).collect(), width: WIDTH };
    for (noise, wanted) in [("gaussian:3", 3.0), ("gaussian:5", 5.0)] {
        let found = single_report(&[scene.shot(noise, 0)]);
        assert_eq!(found.findings.iter().filter(|f| f.kind.is_fault()).count(), 0, "{noise}: {:#?}", in_words(&found.findings));
        assert!(found.noise().iter().all(|noise| (noise / wanted - 1.0).abs() < 0.1), "{noise}: {:?}", found.noise());
    }
    // Half of it is a margin without noise.
    let mut bytes = scene.shot("gaussian:20", 0).to_rgb8();
    bytes[..3 * WIDTH * HEIGHT / 2].fill(100);
    let found = single_report(&[Picture::from_rgb8(WIDTH, HEIGHT, &bytes)]);
    assert!(found.noise().iter().all(|noise| (noise / 20.0 - 1.0).abs() < 0.1), "{:?}", found.noise());
    // Nothing is known of one without any.
    let found = single_report(&[Picture::from_rgb8(WIDTH, HEIGHT, &vec![100; 3 * WIDTH * HEIGHT])]);
    assert!(found.noise().is_empty() && found.findings.iter().any(|f| f.kind == Kind::Unjudged));
}
