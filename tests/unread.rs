//! Files that look like pictures and are not read: each is refused with one sentence that says what it is and how to convert it.

use std::fs;

use n2n_gpu::data::picture::Picture;

fn message(name: &str, bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    let message = Picture::load(&path).unwrap_err().to_string();
    assert!(message.starts_with(&format!("{}: ", path.display())) && message.lines().count() == 1, "{message}");
    message
}

fn is_raw(name: &str, bytes: &[u8]) {
    let message = message(name, bytes);
    assert!(message.contains("raw file") && message.contains("darktable-cli") && message.contains("TIFF"), "{name}: {message}");
}

/// A little-endian TIFF of 1x1 grey pixel with more entries (tag, type, value of one), among the usual ones.
fn tiff(more: &[(u16, u16, u32)]) -> Vec<u8> {
    let usual = [(256, 4, 1), (257, 4, 1), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1), (279, 4, 1)];
    let mut entries: Vec<(u16, u16, u32)> = usual.into_iter().filter(|(tag, ..)| more.iter().all(|m| m.0 != *tag)).collect();
    entries.extend(more);
    entries.sort_unstable();
    let mut file = b"II*\0\x0a\0\0\0\x80\0".to_vec();
    file.extend((entries.len() as u16).to_le_bytes());
    for (tag, kind, value) in entries {
        file.extend([tag.to_le_bytes(), kind.to_le_bytes()].concat());
        file.extend([1, value].map(u32::to_le_bytes).concat());
    }
    file.extend([0; 4]);
    file
}

#[test]
fn raw_files_are_told_by_their_content() {
    Picture::decode("plain.tif", &tiff(&[])).unwrap();
    // Whatever the name: DNG, a mosaic, and a thumbnail with the picture in another directory (NEF, ARW).
    is_raw("a.tif", &tiff(&[(50_706, 4, 0x0401)]));
    is_raw("a.tif", &tiff(&[(262, 3, 32_803)]));
    is_raw("a", &tiff(&[(33_422, 1, 2)]));
    is_raw("a.tif", &tiff(&[(254, 4, 1), (330, 4, 10)]));
    is_raw("a.jpg", b"FUJIFILMCCD-RAW 0201FF383501");
    is_raw("a.jpg", b"II*\0\x10\0\0\0CR\x02\0");
    is_raw("a.jpg", b"\0\0\0\x18ftypcrx \0\0\0\x01");
}

#[test]
fn raw_files_are_told_by_their_name_where_they_look_like_others() {
    for name in ["a.NEF", "a.dng", "a.Arw", "a.pef", "a.rw2"] {
        is_raw(name, &tiff(&[]));
        is_raw(name, b"something that nobody knows");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    let picture = Picture::from_rgb8(1, 1, &[1, 2, 3]);
    picture.save(&path).unwrap();
    fs::rename(&path, folder.path().join("a.raw")).unwrap();
    assert_eq!(Picture::load(&folder.path().join("a.raw")).unwrap(), picture);
}

#[test]
fn other_kinds_are_named_with_what_converts_them() {
    let kinds: [(&[u8], &str, &str); 8] = [
        (b"GIF89a and more", "a GIF", "magick"),
        (b"\0\0\0\x18ftypheic", "HEIC", "heif-convert"),
        (b"\0\0\0\x1cftypavif", "AVIF", "magick"),
        (b"\xFF\x0A\x01\x02", "JPEG XL", "djxl"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000", "magick"),
        (b"\0\0\0\x18ftypmp42", "film", "ffmpeg"),
        (b"8BPS\0\x01", "Photoshop", "magick"),
        (b"%PDF-1.4", "PDF", "pdftoppm"),
    ];
    for (start, kind, command) in kinds {
        let message = message("a.png", start);
        assert!(message.contains(kind) && message.contains("convert it first") && message.contains(command), "{message}");
    }
}

fn apng(frames: u32) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, 1, 1);
    encoder.set_animated(frames, 0).unwrap();
    let mut writer = encoder.write_header().unwrap();
    (0..frames).for_each(|i| writer.write_image_data(&[i as u8]).unwrap());
    writer.finish().unwrap();
    file
}

fn animated_webp() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.webp");
    Picture::from_rgb8(1, 1, &[1, 2, 3]).save(&path).unwrap();
    let still = fs::read(&path).unwrap();
    let chunk = |name: &[u8; 4], data: &[u8]| [name, (data.len() as u32).to_le_bytes().as_slice(), data].concat();
    // Place, size and duration of a frame of one pixel, then its chunk.
    let frame = chunk(b"ANMF", &[[0; 15].as_slice(), &[2], &still[12..]].concat());
    let header = chunk(b"VP8X", &[2, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let chunks = [b"WEBP".to_vec(), header, chunk(b"ANIM", &[0; 6]), frame.clone(), frame].concat();
    chunk(b"RIFF", &chunks)
}

#[test]
fn animations_are_refused_and_not_cut_to_a_frame() {
    for (name, bytes) in [("a.png", apng(2)), ("a.png", apng(1)), ("a.webp", animated_webp())] {
        let message = message(name, &bytes);
        assert!(message.contains("animation") && message.contains("frames as PNG"), "{message}");
    }
}
