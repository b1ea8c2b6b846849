// What a file says of its photograph, to be kept in the denoised one: EXIF, and the colour profile.

/** @typedef {{exif: Uint8Array | null, profile: Uint8Array | null}} Facts */

const EXIF = [0x45, 0x78, 0x69, 0x66, 0, 0];
const ICC = [...new TextEncoder().encode('ICC_PROFILE\0')];
const PNG = [0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10];

/** @param {Uint8Array} bytes @param {number[]} start @param {number} at */
function beginsWith(bytes, start, at = 0) {
  return start.every((byte, i) => bytes[at + i] === byte);
}

/** @param {Uint8Array} bytes */
function viewOf(bytes) {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** @param {(Uint8Array | number[])[]} parts */
function concat(parts) {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** @param {Uint8Array} bytes @param {'deflate'} format @param {boolean} compress */
async function transformed(bytes, format, compress) {
  const stream = compress ? new CompressionStream(format) : new DecompressionStream(format);
  const out = new Blob([/** @type {Uint8Array<ArrayBuffer>} */ (bytes)]).stream().pipeThrough(stream);
  return new Uint8Array(await new Response(out).arrayBuffer());
}

/** Payloads of the segments of a JPEG file before its pixels. @param {Uint8Array} bytes */
function* segments(bytes) {
  for (let at = 2; bytes[at] === 0xff && bytes[at + 1] !== 0xda && at + 4 < bytes.length;) {
    const length = (bytes[at + 2] << 8) | bytes[at + 3];
    yield { marker: bytes[at + 1], data: bytes.subarray(at + 4, at + 2 + length) };
    at += 2 + length;
  }
}

/** Chunks of a PNG file. @param {Uint8Array} bytes */
function* chunks(bytes) {
  const view = viewOf(bytes);
  for (let at = 8; at + 12 <= bytes.length;) {
    const length = view.getUint32(at);
    yield { type: String.fromCharCode(...bytes.subarray(at + 4, at + 8)), data: bytes.subarray(at + 8, at + 8 + length) };
    at += 12 + length;
  }
}

/** EXIF whose orientation is upright, as the pixels are when they have been read. @param {Uint8Array} exif a TIFF header and what follows */
function upright(exif) {
  const copy = exif.slice();
  const view = viewOf(copy);
  try {
    const little = view.getUint16(0) === 0x4949;
    const directory = view.getUint32(4, little);
    for (let i = 0; i < view.getUint16(directory, little); i++) {
      const entry = directory + 2 + 12 * i;
      if (view.getUint16(entry, little) === 0x0112) view.setUint16(entry + 8, 1, little);
    }
    return copy;
  } catch {
    return null;
  }
}

/** @param {Uint8Array} file @returns {Promise<Facts>} */
export async function factsOf(file) {
  /** @type {Facts} */
  const facts = { exif: null, profile: null };
  if (beginsWith(file, [0xff, 0xd8])) {
    const parts = [...segments(file)];
    const exif = parts.find(({ marker, data }) => marker === 0xe1 && beginsWith(data, EXIF));
    if (exif) facts.exif = upright(exif.data.subarray(EXIF.length));
    const profile = parts.filter(({ marker, data }) => marker === 0xe2 && beginsWith(data, ICC)).map(({ data }) => data);
    profile.sort((a, b) => a[ICC.length] - b[ICC.length]);
    if (profile.length) facts.profile = concat(profile.map((data) => data.subarray(ICC.length + 2)));
  } else if (beginsWith(file, PNG)) {
    for (const { type, data } of chunks(file)) {
      if (type === 'eXIf') facts.exif = upright(data);
      // A name, a zero, the method, and the profile.
      if (type === 'iCCP') facts.profile = await transformed(data.subarray(data.indexOf(0) + 2), 'deflate', false).catch(() => null);
    }
  }
  return facts;
}

/** @param {Uint8Array} bytes */
function crc32(bytes) {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

/** @param {string} type @param {Uint8Array} data */
function chunk(type, data) {
  const body = concat([new TextEncoder().encode(type), data]);
  const whole = concat([[0, 0, 0, 0], body, [0, 0, 0, 0]]);
  viewOf(whole).setUint32(0, data.length);
  viewOf(whole).setUint32(4 + body.length, crc32(body));
  return whole;
}

/** @param {number} marker @param {Uint8Array} data */
function segment(marker, data) {
  const length = data.length + 2;
  return concat([[0xff, marker, length >> 8, length & 255], data]);
}

/** A PNG or JPEG file with these facts put in. @param {Uint8Array} file @param {Facts} facts */
export async function withFacts(file, { exif, profile }) {
  if (beginsWith(file, PNG)) {
    const extra = [];
    if (profile) extra.push(chunk('iCCP', concat([[0x69, 0x63, 0x63, 0, 0], await transformed(profile, 'deflate', true)])));
    if (exif) extra.push(chunk('eXIf', exif));
    // After the header, whose chunk has 25 bytes.
    return concat([file.subarray(0, 33), ...extra, file.subarray(33)]);
  }
  const extra = [];
  if (exif && exif.length < 65500) extra.push(segment(0xe1, concat([EXIF, exif])));
  const size = 65000;
  const count = profile ? Math.ceil(profile.length / size) : 0;
  for (let i = 0; profile && i < count; i++) {
    extra.push(segment(0xe2, concat([ICC, [i + 1, count], profile.subarray(i * size, (i + 1) * size)])));
  }
  // The browser may have put in a profile of its own.
  const others = [...segments(file)].filter(({ marker, data }) => !(profile && marker === 0xe2 && beginsWith(data, ICC)));
  const rest = file.subarray(2 + [...segments(file)].reduce((sum, { data }) => sum + data.length + 4, 0));
  return concat([file.subarray(0, 2), ...extra, ...others.map(({ marker, data }) => segment(marker, data)), rest]);
}
