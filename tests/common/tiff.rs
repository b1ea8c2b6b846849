//! TIFF files made byte by byte: little-endian, every page in one strip.
#![allow(dead_code, reason = "every test file uses its own part of this")]

/// A tag: number, type, value.
pub(crate) type Tag = (u16, u16, Vec<u8>);

/// A page of samples as they lie in the file.
#[derive(Clone)]
pub(crate) struct Page {
    pub(crate) size: [u32; 2],
    pub(crate) channels: u16,
    pub(crate) bits: u16,
    /// Samples of floating point.
    pub(crate) float: bool,
    pub(crate) data: Vec<u8>,
    /// In place of tags of the same number, or beside the others.
    pub(crate) more: Vec<Tag>,
}

impl Page {
    pub(crate) fn bytes(size: [u32; 2], channels: u16, data: &[u8]) -> Self {
        Self { size, channels, bits: 8, float: false, data: data.to_vec(), more: Vec::new() }
    }

    pub(crate) fn words(size: [u32; 2], channels: u16, data: &[u16]) -> Self {
        let data = data.iter().flat_map(|v| v.to_le_bytes()).collect();
        Self { size, channels, bits: 16, float: false, data, more: Vec::new() }
    }

    pub(crate) fn floats(size: [u32; 2], channels: u16, data: &[f32]) -> Self {
        let data = data.iter().flat_map(|v| v.to_le_bytes()).collect();
        Self { size, channels, bits: 32, float: true, data, more: Vec::new() }
    }

    pub(crate) fn halves(size: [u32; 2], channels: u16, data: &[f32]) -> Self {
        let data = data.iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect();
        Self { size, channels, bits: 16, float: true, data, more: Vec::new() }
    }

    pub(crate) fn with(mut self, tag: Tag) -> Self {
        self.more.push(tag);
        self
    }

    fn tags(&self, at: u32) -> Vec<Tag> {
        let of_each = |v: u16| (0..self.channels).flat_map(|_| v.to_le_bytes()).collect::<Vec<u8>>();
        let mut tags = vec![
            long(256, self.size[0]),
            long(257, self.size[1]),
            (258, 3, of_each(self.bits)),
            short(259, 1),
            short(262, if self.channels < 3 { 1 } else { 2 }),
            long(273, at),
            short(277, self.channels),
            long(278, self.size[1]),
            long(279, self.data.len() as u32),
            (339, 3, of_each(if self.float { 3 } else { 1 })),
        ];
        if self.channels.is_multiple_of(2) {
            tags.push(short(338, 2));
        }
        tags.retain(|tag| self.more.iter().all(|more| more.0 != tag.0));
        tags.extend(self.more.clone());
        tags.sort_by_key(|tag| tag.0);
        tags
    }
}

pub(crate) fn short(tag: u16, value: u16) -> Tag {
    (tag, 3, value.to_le_bytes().to_vec())
}

pub(crate) fn long(tag: u16, value: u32) -> Tag {
    (tag, 4, value.to_le_bytes().to_vec())
}

pub(crate) fn text(tag: u16, value: &str) -> Tag {
    (tag, 2, [value.as_bytes(), &[0]].concat())
}

pub(crate) fn fraction(tag: u16, numerator: u32, denominator: u32) -> Tag {
    (tag, 5, [numerator.to_le_bytes(), denominator.to_le_bytes()].concat())
}

/// Adds a directory to a file: values that are longer than four bytes first. Gives where it is, and where the place of the next
/// one is.
fn directory(file: &mut Vec<u8>, tags: &[Tag]) -> [u32; 2] {
    let size = |kind: u16| [0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8][usize::from(kind)];
    let mut rows = Vec::new();
    for (tag, kind, value) in tags {
        rows.extend([tag.to_le_bytes(), kind.to_le_bytes()].concat());
        rows.extend(((value.len() / size(*kind)) as u32).to_le_bytes());
        if value.len() <= 4 {
            rows.extend([value.clone(), vec![0; 4 - value.len()]].concat());
        } else {
            rows.extend((file.len() as u32).to_le_bytes());
            file.extend(value);
            file.resize(file.len().next_multiple_of(2), 0);
        }
    }
    let at = file.len() as u32;
    file.extend((tags.len() as u16).to_le_bytes());
    file.extend(rows);
    file.extend([0; 4]);
    [at, file.len() as u32 - 4]
}

/// A file of pages, and of one more directory to which each points by a tag.
pub(crate) fn file(pages: &[Page], inner: &[(u16, Vec<Tag>)]) -> Vec<u8> {
    let mut file = b"II*\0\0\0\0\0".to_vec();
    let mut next = 4;
    for page in pages {
        let at = file.len() as u32;
        file.extend(&page.data);
        file.resize(file.len().next_multiple_of(2), 0);
        let mut tags = page.tags(at);
        for (pointer, inner) in inner {
            tags.push(long(*pointer, directory(&mut file, inner)[0]));
        }
        tags.sort_by_key(|tag| tag.0);
        let [at, link] = directory(&mut file, &tags);
        file[next..next + 4].copy_from_slice(&at.to_le_bytes());
        next = link as usize;
    }
    file
}
