//! A tiny path tracer: frames of some balls on a chequered floor, under a dim sky and a small lamp, which a path finds by chance
//! only. What comes of few samples is right on average and very noisy, with albedo and normals of what is seen first beside the
//! colours.

use std::f64::consts::PI;
use std::path::Path;

use exr::image::{AnyChannel, AnyChannels, Encoding, FlatSamples, Image, Layer};
use exr::math::Vec2;
use exr::meta::header::LayerAttributes;
use exr::prelude::{ImageAttributes, IntegerBounds, WritableImage};
use n2n_gpu::ops::pcg4d;
use rayon::prelude::*;

type V = [f64; 3];

fn add(a: V, b: V) -> V {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

fn scale(a: V, s: f64) -> V {
    a.map(|v| v * s)
}

fn multiply(a: V, b: V) -> V {
    [a[0] * b[0], a[1] * b[1], a[2] * b[2]]
}

fn dot(a: V, b: V) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn cross(a: V, b: V) -> V {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

fn unit(a: V) -> V {
    scale(a, 1.0 / dot(a, a).sqrt())
}

/// Four numbers from 0 to 1.
fn uniform(key: [u32; 4]) -> [f64; 4] {
    pcg4d(key).map(|v| (f64::from(v) + 0.5) / 4_294_967_296.0)
}

struct Ball {
    centre: V,
    radius: f64,
    albedo: V,
    light: f64,
}

/// What a ray meets.
struct Hit {
    distance: f64,
    normal: V,
    albedo: V,
    light: f64,
}

const SKY: V = [0.10, 0.14, 0.22];
const BOUNCES: u32 = 4;

/// A frame of a film: a scene of its own.
pub(crate) struct Scene(Vec<Ball>);

impl Scene {
    /// Number `frame` of many.
    pub(crate) fn new(frame: u32) -> Self {
        let ball = |i: u32| {
            let [x, z, r, _] = uniform([frame, i, 1, 0]);
            let [red, green, blue, _] = uniform([frame, i, 2, 0]);
            let radius = 0.25 + 0.55 * r;
            let albedo = [red, green, blue].map(|v| 0.1 + 0.8 * v);
            Ball { centre: [4.0 * x - 2.0, radius, 3.5 * z], radius, albedo, light: 0.0 }
        };
        let [x, z, ..] = uniform([frame, 0, 3, 0]);
        let lamp = Ball { centre: [3.0 * x - 1.5, 3.2, 2.5 * z - 0.5], radius: 0.6, albedo: [0.0; 3], light: 12.0 };
        Self((0..7).map(ball).chain([lamp]).collect())
    }

    fn hit(&self, from: V, to: V) -> Option<Hit> {
        let of_ball = |ball: &Ball| {
            let offset = add(from, scale(ball.centre, -1.0));
            let b = dot(offset, to);
            let root = (b * b - dot(offset, offset) + ball.radius * ball.radius).sqrt();
            let distance = [-b - root, -b + root].into_iter().find(|d| *d > 1e-6)?;
            let normal = unit(add(offset, scale(to, distance)));
            Some(Hit { distance, normal, albedo: ball.albedo, light: ball.light })
        };
        let floor = (to[1] < 0.0).then(|| {
            let distance = -from[1] / to[1];
            let [x, _, z] = add(from, scale(to, distance));
            let dark = (3.0 * x).floor() as i64 + (3.0 * z).floor() as i64;
            let albedo = if dark % 2 == 0 { [0.75, 0.7, 0.6] } else { [0.2, 0.25, 0.3] };
            Hit { distance, normal: [0.0, 1.0, 0.0], albedo, light: 0.0 }
        });
        let hits = self.0.iter().filter_map(of_ball).chain(floor.filter(|hit| hit.distance > 1e-6));
        hits.min_by(|a, b| a.distance.total_cmp(&b.distance))
    }

    /// Colour, albedo and normal along a path.
    fn path(&self, mut from: V, mut to: V, key: [u32; 3]) -> [V; 3] {
        let (mut light, mut share) = ([0.0; 3], [1.0; 3]);
        let mut first = None;
        for bounce in 0..BOUNCES {
            let Some(hit) = self.hit(from, to) else {
                light = add(light, multiply(share, SKY));
                break;
            };
            first.get_or_insert((if hit.light > 0.0 { [1.0; 3] } else { hit.albedo }, hit.normal));
            light = add(light, scale(share, hit.light));
            share = multiply(share, hit.albedo);
            // As many directions as the cosine to the normal says.
            let [u, v, ..] = uniform([key[0], key[1], key[2], bounce]);
            let aside = unit(cross(hit.normal, if hit.normal[0].abs() > 0.5 { [0.0, 1.0, 0.0] } else { [1.0, 0.0, 0.0] }));
            let (radius, angle) = (u.sqrt(), 2.0 * PI * v);
            let flat = add(scale(aside, radius * angle.cos()), scale(cross(hit.normal, aside), radius * angle.sin()));
            from = add(from, scale(to, hit.distance - 1e-6));
            to = add(flat, scale(hit.normal, (1.0 - u).sqrt()));
        }
        let (albedo, normal) = first.unwrap_or(([1.0; 3], [0.0; 3]));
        [light, albedo, normal]
    }

    /// A render of `size` (width, height) of so many samples a pixel; another `seed` has other noise.
    pub(crate) fn render(&self, size: [usize; 2], samples: u32, seed: u32) -> Render {
        let [width, height] = size;
        let pixel = |i: usize| {
            let mut sum = [[0.0; 3]; 3];
            for sample in 0..samples {
                let key = [i as u32, sample, seed];
                let [x, y, ..] = uniform([key[0], key[1], key[2], BOUNCES]);
                let side = width.max(height) as f64;
                let right = ((i % width) as f64 + x - width as f64 / 2.0) / side;
                let down = ((i / width) as f64 + y - height as f64 / 2.0) / side;
                let path = self.path([0.0, 1.4, -4.0], unit([right, -0.1 - down, 0.9]), key);
                sum = [0, 1, 2].map(|k| add(sum[k], scale(path[k], 1.0 / f64::from(samples))));
            }
            sum
        };
        let pixels: Vec<[V; 3]> = (0..width * height).into_par_iter().map(pixel).collect();
        let plane = |k: usize| pixels.iter().flat_map(|pixel| pixel[k]).map(|v| v as f32).collect();
        Render { size, colour: plane(0), albedo: plane(1), normal: plane(2) }
    }
}

/// Values `(H, W, 3)` of what was rendered.
pub(crate) struct Render {
    pub(crate) size: [usize; 2],
    pub(crate) colour: Vec<f32>,
    pub(crate) albedo: Vec<f32>,
    pub(crate) normal: Vec<f32>,
}

impl Render {
    /// Writes an OpenEXR file with the colours, and, if asked for, the layers `albedo` and `normal`.
    pub(crate) fn save(&self, path: &Path, features: bool) {
        let rgb = [("R", &self.colour), ("G", &self.colour), ("B", &self.colour)];
        let albedo = ["albedo.R", "albedo.G", "albedo.B"].map(|name| (name, &self.albedo));
        let normal = ["normal.X", "normal.Y", "normal.Z"].map(|name| (name, &self.normal));
        let all = [rgb, albedo, normal];
        let channels = all[..if features { 3 } else { 1 }].iter().flat_map(|three| three.iter().enumerate());
        let channel = |(c, (name, values)): (usize, &(&str, &Vec<f32>))| {
            AnyChannel::new(*name, FlatSamples::F32(values.iter().skip(c).step_by(3).copied().collect()))
        };
        let size = Vec2(self.size[0], self.size[1]);
        let layer = Layer::new(
            size,
            LayerAttributes::default(),
            Encoding::SMALL_LOSSLESS,
            AnyChannels::sort(channels.map(channel).collect()),
        );
        let image = Image::from_layers(ImageAttributes::new(IntegerBounds::new(Vec2(0, 0), size)), vec![layer]);
        image.write().to_file(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
}
