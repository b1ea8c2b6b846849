//! Directories of TIFF structures: the tags of TIFF files, of BigTIFF files and of EXIF data.

use std::io::{self, Cursor, Read, Seek, SeekFrom};

use tiff::tags::{ByteOrder, Type};

/// The most that a value may take, and the most entries of a directory.
const MAX_VALUE: u64 = 64 << 20;
const MAX_ENTRIES: u64 = 4096;

/// A value of a directory.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) tag: u16,
    pub(super) kind: Type,
    /// In the byte order of the machine.
    pub(super) bytes: Vec<u8>,
}

impl Entry {
    /// The first of its whole numbers.
    pub(super) fn first(&self) -> Option<u64> {
        let bytes = &self.bytes;
        match self.kind {
            Type::BYTE | Type::UNDEFINED => bytes.first().map(|v| u64::from(*v)),
            Type::SHORT => bytes.first_chunk().map(|v| u64::from(u16::from_ne_bytes(*v))),
            Type::LONG | Type::IFD => bytes.first_chunk().map(|v| u64::from(u32::from_ne_bytes(*v))),
            Type::LONG8 | Type::IFD8 => bytes.first_chunk().map(|v| u64::from_ne_bytes(*v)),
            _ => None,
        }
    }

    /// Numerator and denominator of the first of its fractions.
    pub(super) fn fraction(&self) -> Option<[u32; 2]> {
        let [a, b, c, d, e, f, g, h] = *self.bytes.first_chunk().filter(|_| self.kind == Type::RATIONAL)?;
        Some([[a, b, c, d], [e, f, g, h]].map(u32::from_ne_bytes))
    }
}

/// Bytes of a value.
fn size(kind: Type) -> u64 {
    match kind {
        Type::BYTE | Type::SBYTE | Type::ASCII | Type::UNDEFINED => 1,
        Type::SHORT | Type::SSHORT => 2,
        Type::LONG | Type::SLONG | Type::FLOAT | Type::IFD => 4,
        _ => 8,
    }
}

/// How a file writes its directories.
#[derive(Clone, Copy, Debug)]
pub(super) struct TiffLayout {
    order: ByteOrder,
    /// BigTIFF, with offsets of eight bytes.
    pub(super) big: bool,
    /// Where the first directory is.
    pub(super) first: u64,
}

/// Whether a file begins as TIFF or BigTIFF files do.
pub(super) fn is_tiff(start: &[u8]) -> bool {
    [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"].iter().any(|magic| start.starts_with(*magic))
}

impl TiffLayout {
    /// Reads the header of a file. Fails when it is none of TIFF.
    pub(super) fn read(file: &mut (impl Read + Seek)) -> io::Result<Self> {
        file.rewind()?;
        let mut magic = [0; 4];
        file.read_exact(&mut magic)?;
        if !is_tiff(&magic) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let order = if magic[0] == b'I' { ByteOrder::LittleEndian } else { ByteOrder::BigEndian };
        let mut layout = Self { order, big: magic.contains(&b'+'), first: 0 };
        if layout.big {
            file.read_exact(&mut [0; 4])?;
        }
        layout.first = layout.offset(file)?;
        Ok(layout)
    }

    fn number<const N: usize>(self, file: &mut impl Read) -> io::Result<u64> {
        let mut bytes = [0; N];
        file.read_exact(&mut bytes)?;
        if self.order == ByteOrder::BigEndian {
            bytes.reverse();
        }
        let mut long = [0; 8];
        long[..N].copy_from_slice(&bytes);
        Ok(u64::from_le_bytes(long))
    }

    fn offset(self, file: &mut impl Read) -> io::Result<u64> {
        if self.big { self.number::<8>(file) } else { self.number::<4>(file) }
    }

    /// Two bytes as the file writes a number.
    pub(super) fn short(self, value: u16) -> [u8; 2] {
        if self.order == ByteOrder::LittleEndian { value.to_le_bytes() } else { value.to_be_bytes() }
    }

    /// Where in a file the value of an entry is that takes four bytes at most.
    pub(super) fn place(self, file: &mut (impl Read + Seek), directory: u64, tag: u16) -> Option<u64> {
        file.seek(SeekFrom::Start(directory)).ok()?;
        let (count, first) = if self.big { (self.number::<8>(file).ok()?, 8) } else { (self.number::<2>(file).ok()?, 2) };
        let (size, value) = if self.big { (20, 12) } else { (12, 8) };
        (0..count.min(MAX_ENTRIES)).map(|i| directory + first + size * i).find_map(|row| {
            file.seek(SeekFrom::Start(row)).ok()?;
            (self.number::<2>(file).ok()? == u64::from(tag)).then_some(row + value)
        })
    }

    /// Reads the entries of a directory that are `wanted`, and where the next one is. Entries of unknown types and those that are
    /// too large are left out, and so are those behind the end of the file.
    pub(super) fn directory(
        self,
        file: &mut (impl Read + Seek),
        at: u64,
        wanted: impl Fn(u16) -> bool,
    ) -> io::Result<(Vec<Entry>, Option<u64>)> {
        file.seek(SeekFrom::Start(at))?;
        let count = if self.big { self.number::<8>(file)? } else { self.number::<2>(file)? };
        if count > MAX_ENTRIES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let size = if self.big { 20 } else { 12 };
        let mut table = vec![0; (count * size) as usize];
        file.read_exact(&mut table)?;
        let next = Some(self.offset(file)?).filter(|next| *next > 0);
        let rows = table.chunks_exact(size as usize);
        Ok((rows.filter_map(|row| self.entry(file, row, &wanted)).collect(), next))
    }

    fn entry(self, file: &mut (impl Read + Seek), mut row: &[u8], wanted: impl Fn(u16) -> bool) -> Option<Entry> {
        let tag = self.number::<2>(&mut row).ok().filter(|tag| wanted(*tag as u16))? as u16;
        let kind = Type::from_u16(self.number::<2>(&mut row).ok()? as u16)?;
        let count = self.offset(&mut row).ok()?;
        let len = count.checked_mul(size(kind)).filter(|len| *len <= MAX_VALUE)?;
        let mut bytes = Vec::new();
        if len <= row.len() as u64 {
            bytes.extend_from_slice(&row[..len as usize]);
        } else {
            file.seek(SeekFrom::Start(self.offset(&mut row).ok()?)).ok()?;
            file.take(len).read_to_end(&mut bytes).ok().filter(|read| *read as u64 == len)?;
        }
        self.order.convert(kind, &mut bytes, ByteOrder::native());
        Some(Entry { tag, kind, bytes })
    }

    /// Where the directories of a file are, in order. The last one may be unreadable, or one that was there before.
    pub(super) fn chain(self, file: &mut (impl Read + Seek)) -> Vec<u64> {
        let mut all = vec![self.first];
        let mut seen = std::collections::HashSet::from([self.first]);
        while let Ok((_, Some(next))) = self.directory(file, all[all.len() - 1], |_| false) {
            all.push(next);
            if !seen.insert(next) {
                break;
            }
        }
        all
    }
}

/// Directories that another one points to: tag of the pointer, entries.
pub(super) type Inner = Vec<(u16, Vec<Entry>)>;

/// The first directory of EXIF data, and those that it points to.
pub(super) fn exif(data: &[u8]) -> Option<(Vec<Entry>, Inner)> {
    let mut file = Cursor::new(data);
    let layout = TiffLayout::read(&mut file).ok()?;
    let (entries, _) = layout.directory(&mut file, layout.first, |_| true).ok()?;
    Some(layout.with_inner(&mut file, entries))
}

/// Whether EXIF data says how many pixels an inch has.
pub(super) fn says_resolution(data: &[u8]) -> bool {
    const X_RESOLUTION: u16 = 282;
    exif(data).is_some_and(|(entries, _)| entries.iter().any(|entry| entry.tag == X_RESOLUTION))
}

/// Pointers to the directories of EXIF and GPS data.
pub(super) const INNER: [u16; 2] = [34_665, 34_853];

impl TiffLayout {
    /// Takes the pointers to inner directories out of `entries`, and gives these directories beside them.
    pub(super) fn with_inner(self, file: &mut (impl Read + Seek), entries: Vec<Entry>) -> (Vec<Entry>, Inner) {
        /// Interoperability data, which is about the file it came in, and a pointer.
        const INTEROPERABILITY: u16 = 40_965;
        let (pointers, entries): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| INNER.contains(&entry.tag));
        let inner = pointers.iter().filter_map(|pointer| {
            let (entries, _) = self.directory(file, pointer.first()?, |tag| tag != INTEROPERABILITY).ok()?;
            Some((pointer.tag, entries))
        });
        let inner = inner.collect();
        (entries, inner)
    }
}
