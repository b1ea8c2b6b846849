//! OpenEXR: the colours of one layer are read and written, and all else of a file is kept as it is: other layers and channels,
//! their types, attributes, compression.

use std::io::Cursor;
use std::sync::Arc;

use exr::error::Error;
use exr::image::{AnyChannel, AnyChannels, Encoding, FlatImage, FlatSamples, Image, Layer};
use exr::math::Vec2;
use exr::meta::MetaData;
use exr::meta::attribute::{IntegerBounds, Text};
use exr::meta::header::{ImageAttributes, LayerAttributes};
use exr::prelude::{ReadChannels, ReadLayers, WritableImage, read};
use half::f16;

use super::decode::{Decoded, check_pixels};
use super::encode::{Failure, Raw};
use super::metadata::{Metadata, Own};
use super::samples::{Color, Depth, Rows, Samples};
use super::transfer::Transfer;

/// Layers that are taken before others, by the last part of their names: what renderers call the picture itself.
const BEAUTY: [&str; 5] = ["combined", "beauty", "rgba", "rgb", "color"];

/// A file whose colours are taken out.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Layers {
    image: FlatImage,
    place: Place,
}

/// Where the colours are: a layer, and its channels in the order red, green, blue or grey, then alpha.
#[derive(Clone, Debug, PartialEq)]
struct Place {
    layer: usize,
    channels: Vec<usize>,
}

impl Layers {
    /// The layers beside the colours.
    pub(super) fn vectors(&self) -> Vec<Vector<'_>> {
        vectors(&self.image)
    }

    /// What is lost elsewhere.
    pub(super) fn name(&self) -> Option<&'static str> {
        let channels: usize = self.image.layer_data.iter().map(|layer| layer.channel_data.list.len()).sum();
        (channels > self.place.channels.len()).then_some("the other layers and channels")
    }
}

fn sentence(error: &Error) -> String {
    match error {
        Error::NotSupported(what) => {
            format!("is an OpenEXR file of a kind that is not read ({what}): save it with ZIP compression and without deep data")
        }
        Error::Io(e) if e.kind() != std::io::ErrorKind::UnexpectedEof => format!("cannot be read: {e}"),
        _ => format!("is damaged or cut short ({error}): copy or export it again"),
    }
}

/// A layer of three channels: red, green and blue, or x, y and z.
pub(super) struct Vector<'a> {
    /// Of the layer, also where it is a part of its channels' names.
    pub(super) name: String,
    /// Width, height.
    pub(super) size: [usize; 2],
    planes: [&'a FlatSamples; 3],
}

impl Vector<'_> {
    /// `(H, W, 3)`.
    pub(super) fn values(&self) -> Vec<f32> {
        (0..self.size[0] * self.size[1]).flat_map(|i| self.planes.map(|plane| plane.value_by_flat_index(i).to_f32())).collect()
    }
}

/// All layers of three channels that have their samples.
pub(super) fn vectors(image: &FlatImage) -> Vec<Vector<'_>> {
    let mut found = Vec::new();
    for layer in &image.layer_data {
        let size = [layer.size.width(), layer.size.height()];
        let list = &layer.channel_data.list;
        let complete = |c: &&AnyChannel<FlatSamples>| is_float_in_full(c) && c.sample_data.len() == size[0] * size[1];
        let find = |name: String| Some(&list.iter().filter(complete).find(|c| c.name == *name.as_str())?.sample_data);
        for channel in list {
            let full = channel.name.to_string();
            let (prefix, last) = full.rsplit_once('.').map_or((None, full.as_str()), |(prefix, last)| (Some(prefix), last));
            let letters = match last {
                "R" => ["R", "G", "B"],
                "r" => ["r", "g", "b"],
                "X" => ["X", "Y", "Z"],
                "x" => ["x", "y", "z"],
                _ => continue,
            };
            let [a, b, c] = letters.map(|letter| find(prefix.map_or(letter.to_owned(), |prefix| format!("{prefix}.{letter}"))));
            let (Some(a), Some(b), Some(c)) = (a, b, c) else { continue };
            let parts = [layer.attributes.layer_name.as_ref().map(Text::to_string), prefix.map(str::to_owned)];
            let name = parts.into_iter().flatten().collect::<Vec<_>>().join(".");
            found.push(Vector { name, size, planes: [a, b, c] });
        }
    }
    found
}

/// An OpenEXR file with all it has; `None` if it is none.
/// What is wrong, when something is, as the end of a sentence that the file name begins.
pub(super) fn open(bytes: &[u8]) -> Result<Option<FlatImage>, String> {
    if image::guess_format(bytes).ok() != Some(image::ImageFormat::OpenExr) {
        return Ok(None);
    }
    let headers = MetaData::read_from_buffered(Cursor::new(bytes), false).map_err(|e| sentence(&e))?.headers;
    for header in &headers {
        check_pixels([header.layer_size.width(), header.layer_size.height()], header.channels.list.len().div_ceil(4))?;
        if header.deep {
            return Err("is an OpenEXR file of deep pixels, which is not read: flatten it first".to_owned());
        }
    }
    let whole = read().no_deep_data().largest_resolution_level().all_channels().all_layers().all_attributes();
    whole.from_buffered(Cursor::new(bytes)).map(Some).map_err(|e| sentence(&e))
}

/// What is wrong, when something is, as the end of a sentence that the file name begins.
pub(super) fn decode(bytes: &[u8]) -> Result<Decoded, String> {
    let mut image = open(bytes)?.expect("the file was recognised");
    let place =
        place(&image).ok_or("has no channels R, G and B, and no Y, of half or single precision: write one of these into it")?;
    let layer = &mut image.layer_data[place.layer];
    let size = [layer.size.width(), layer.size.height()];
    let list = &mut layer.channel_data.list;
    let half = place.channels.iter().all(|&c| matches!(list[c].sample_data, FlatSamples::F16(_)));
    let planes: Vec<FlatSamples> = place.channels.iter().map(|&c| take(&mut list[c].sample_data)).collect();
    let (channels, pixels) = (planes.len(), size[0] * size[1]);
    let depth = if half { Depth::Half } else { Depth::Float };
    let at = (0..pixels).flat_map(|i| (0..channels).map(move |c| (c, i)));
    let samples = if half {
        Samples::Halves(at.map(|(c, i)| f16::from_f32(planes[c].value_by_flat_index(i).to_f32())).collect())
    } else {
        Samples::Floats(at.map(|(c, i)| planes[c].value_by_flat_index(i).to_f32()).collect())
    };
    let rows = Rows { color: Color::new(channels, depth), transfer: Transfer::Linear, samples };
    let metadata = Metadata { own: Own::Exr(Arc::new(Layers { image, place })), ..Metadata::default() };
    Ok(Decoded { size, rows, metadata })
}

/// The samples, of which an empty vector of the same type is left.
fn take(samples: &mut FlatSamples) -> FlatSamples {
    let empty = match samples {
        FlatSamples::F16(_) => FlatSamples::F16(Vec::new()),
        FlatSamples::F32(_) => FlatSamples::F32(Vec::new()),
        FlatSamples::U32(_) => FlatSamples::U32(Vec::new()),
    };
    std::mem::replace(samples, empty)
}

fn place(image: &FlatImage) -> Option<Place> {
    let mut found: Vec<(usize, Place)> = Vec::new();
    for (number, layer) in image.layer_data.iter().enumerate() {
        let list = &layer.channel_data.list;
        let name = |c: &AnyChannel<FlatSamples>| c.name.to_string();
        let find = |wanted: &str| list.iter().position(|c| name(c) == wanted).filter(|&c| is_float_in_full(&list[c]));
        for channel in list {
            let full = name(channel);
            let (prefix, last) = full.rsplit_once('.').map_or(("", full.as_str()), |(prefix, last)| (prefix, last));
            let colours: &[&str] = match last {
                "R" => &["R", "G", "B"],
                "Y" => &["Y"],
                _ => continue,
            };
            let of = |letter: &str| if prefix.is_empty() { letter.to_owned() } else { format!("{prefix}.{letter}") };
            let Some(mut channels) = colours.iter().map(|letter| find(&of(letter))).collect::<Option<Vec<_>>>() else { continue };
            channels.extend(find(&of("A")));
            let layer_name = layer.attributes.layer_name.as_ref().map(Text::to_string).unwrap_or_default();
            let named = if prefix.is_empty() { layer_name.as_str() } else { prefix };
            let last = named.rsplit('.').next().unwrap_or_default().to_lowercase();
            let rank = if named.is_empty() { 0 } else { 1 + BEAUTY.iter().position(|b| *b == last).unwrap_or(BEAUTY.len()) };
            found.push((rank, Place { layer: number, channels }));
        }
    }
    // The first of those that rank equally; colours before a luminance that has its chroma beside it.
    found.into_iter().min_by_key(|(rank, place)| (place.channels.len() < 3, *rank)).map(|(_, place)| place)
}

fn is_float_in_full(channel: &AnyChannel<FlatSamples>) -> bool {
    channel.sampling == Vec2(1, 1) && !matches!(channel.sample_data, FlatSamples::U32(_))
}

/// The file of a picture: that which it came from with other colours, if it came from one.
pub(super) fn encode(mut raw: Raw) -> Result<Vec<u8>, Failure> {
    let bytes = raw.samples()?;
    let color = raw.color;
    let channels = color.channels();
    let plane = |c: usize| {
        let values = bytes.chunks_exact(color.depth.bytes()).skip(c).step_by(channels);
        match color.depth {
            Depth::Half => FlatSamples::F16(values.map(|v| f16::from_ne_bytes([v[0], v[1]])).collect()),
            _ => FlatSamples::F32(values.map(|v| f32::from_ne_bytes([v[0], v[1], v[2], v[3]])).collect()),
        }
    };
    let image = match raw.metadata.own {
        Own::Exr(layers) if layers.place.channels.len() == channels => {
            let mut image = layers.image.clone();
            let list = &mut image.layer_data[layers.place.layer].channel_data.list;
            layers
                .place
                .channels
                .iter()
                .enumerate()
                .for_each(|(c, &at)| list[at].sample_data = as_type(plane(c), &list[at].sample_data));
            image
        }
        _ => {
            let names: &[&str] = if color.grey { &["Y", "A"] } else { &["R", "G", "B", "A"] };
            let list = AnyChannels::sort((0..channels).map(|c| AnyChannel::new(names[c], plane(c))).collect());
            let size = Vec2(raw.width as usize, raw.height as usize);
            let layer = Layer::new(size, LayerAttributes::default(), Encoding::SMALL_LOSSLESS, list);
            Image::from_layers(ImageAttributes::new(IntegerBounds::new(Vec2(0, 0), size)), vec![layer])
        }
    };
    let mut file = Cursor::new(Vec::new());
    image.write().to_buffered(&mut file)?;
    Ok(file.into_inner())
}

/// Samples in the type of others.
fn as_type(samples: FlatSamples, other: &FlatSamples) -> FlatSamples {
    match (other, &samples) {
        (FlatSamples::F16(_), FlatSamples::F32(v)) => FlatSamples::F16(v.iter().map(|v| f16::from_f32(*v)).collect()),
        _ => samples,
    }
}
