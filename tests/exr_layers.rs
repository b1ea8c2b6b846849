//! OpenEXR files of several layers and channels: one is changed, the others stay to the last bit, with attributes and
//! compression.

use std::io::Cursor;

use exr::image::{AnyChannel, AnyChannels, Encoding, FlatImage, FlatSamples, Image, Layer};
use exr::math::Vec2;
use exr::meta::attribute::{AttributeValue, IntegerBounds, Text};
use exr::meta::header::{ImageAttributes, LayerAttributes};
use exr::prelude::{ReadChannels, ReadLayers, WritableImage, read};
use half::f16;
use n2n_gpu::data::picture::Picture;

const SIZE: Vec2<usize> = Vec2(3, 2);

fn half(name: &str, first: f32) -> AnyChannel<FlatSamples> {
    AnyChannel::new(name, FlatSamples::F16((0..6).map(|i| f16::from_f32(first + i as f32)).collect()))
}

fn float(name: &str, first: f32) -> AnyChannel<FlatSamples> {
    AnyChannel::new(name, FlatSamples::F32((0..6).map(|i| first + i as f32 / 8.0).collect()))
}

fn layer(name: &str, channels: Vec<AnyChannel<FlatSamples>>, encoding: Encoding) -> Layer<AnyChannels<FlatSamples>> {
    let named = if name.is_empty() { LayerAttributes::default() } else { LayerAttributes::named(name) };
    let mut layer = Layer::new(SIZE, named, encoding, AnyChannels::sort(channels.into()));
    layer.attributes.other.insert(Text::from("lamp"), AttributeValue::F32(2.5));
    layer
}

fn file(layers: Vec<Layer<AnyChannels<FlatSamples>>>) -> Vec<u8> {
    let bounds = IntegerBounds::new(Vec2(0, 0), Vec2(20, 10));
    let mut file = Cursor::new(Vec::new());
    Image::from_layers(ImageAttributes::new(bounds), layers).write().to_buffered(&mut file).unwrap();
    file.into_inner()
}

fn image(file: &[u8]) -> FlatImage {
    let all = read().no_deep_data().largest_resolution_level().all_channels().all_layers().all_attributes();
    all.from_buffered(Cursor::new(file)).unwrap()
}

/// The file of a picture whose colours are another's, in a row of the network's values.
fn changed(before: &[u8], value: f32) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.exr");
    let picture = Picture::decode("a.exr", before).unwrap();
    picture.with_rgb(&[value; 18]).save(&path).unwrap();
    std::fs::read(path).unwrap()
}

/// Names of the channels that are not the same in two files of which all else is.
fn differences(a: &[u8], b: &[u8]) -> Vec<String> {
    let (mut a, b) = (image(a), image(b));
    let mut names = Vec::new();
    for (one, other) in a.layer_data.iter_mut().zip(&b.layer_data) {
        let layer = one.attributes.layer_name.as_ref().map(|name| format!("{name}:")).unwrap_or_default();
        for (one, other) in one.channel_data.list.iter_mut().zip(&other.channel_data.list) {
            if one.sample_data != other.sample_data {
                names.push(format!("{layer}{}", one.name));
                one.sample_data = other.sample_data.clone();
            }
        }
    }
    assert_eq!(a, b);
    names
}

#[test]
fn the_picture_is_changed_and_all_else_stays() {
    let id = AnyChannel::new("id", FlatSamples::U32((7..13).collect()));
    let named = |prefix: &str| ["R", "G", "B"].map(|c| half(&format!("{prefix}.{c}"), 3.0)).to_vec();
    let plain = vec![half("R", 1.0), half("G", 2.0), half("B", 4.0), float("A", 0.25)];
    let with_depth = [plain.clone(), vec![float("Z", 9.0), id]].concat();
    let several = [named("View.AO"), named("View.Combined"), named("albedo")].concat();
    let rle = Encoding { compression: exr::compression::Compression::RLE, ..Encoding::SMALL_LOSSLESS };
    let cases = [
        (vec![layer("", with_depth, rle)], vec!["B", "G", "R"]),
        (vec![layer("", several, rle)], vec!["View.Combined.B", "View.Combined.G", "View.Combined.R"]),
        (vec![layer("", vec![float("Y", 1.0), float("Z", 2.0)], Encoding::UNCOMPRESSED)], vec!["Y"]),
        (
            vec![layer("normals", plain.clone(), rle), layer("beauty", plain, Encoding::SMALL_LOSSLESS)],
            vec!["beauty:B", "beauty:G", "beauty:R"],
        ),
    ];
    for (layers, wanted) in cases {
        let before = file(layers);
        assert_eq!(differences(&before, &changed(&before, 0.5)), wanted);
        let picture = Picture::decode("a.exr", &before).unwrap();
        let lost = picture.header().loses(std::path::Path::new("a.tif"));
        assert_eq!(lost.as_deref(), Some("the other layers and channels"));
    }
}

#[test]
fn values_are_linear_light() {
    let before = file(vec![layer("", ["R", "G", "B"].map(|c| half(c, 0.0)).to_vec(), Encoding::UNCOMPRESSED)]);
    let FlatSamples::F16(values) = image(&changed(&before, 0.5)).layer_data[0].channel_data.list[0].sample_data.clone() else {
        panic!("other samples")
    };
    assert!(values.iter().all(|v| (v.to_f32() - 0.2140).abs() < 1e-3), "{values:?}");
}

#[test]
fn files_without_colours_are_refused() {
    let depth_alone = file(vec![layer("", vec![float("Z", 1.0)], Encoding::UNCOMPRESSED)]);
    let message = Picture::decode("a.exr", &depth_alone).unwrap_err().to_string();
    assert!(message.contains("a.exr: has no channels R, G and B, and no Y"), "{message}");
    let mut infinite = float("R", 1.0);
    infinite.sample_data = FlatSamples::F32(vec![1.0, 1.0, 1.0, 1.0, f32::INFINITY, 1.0]);
    let broken = file(vec![layer("", vec![infinite, float("G", 1.0), float("B", 1.0)], Encoding::UNCOMPRESSED)]);
    let message = Picture::decode("a.exr", &broken).unwrap_err().to_string();
    assert!(message.contains("infinite or not a number at column 1, row 1"), "{message}");
}
