// What a training draws from: photographs or shots as the plans want them, and the squares that are held out.
import { reflect } from './windows.js';

/**
 * @typedef {import('./denoise.js').Picture} Picture
 * @typedef {import('./training.js').Spec} Spec
 */

/** An area of a picture as bytes (H, W, 3), mirrored beyond its edges.
 * @param {Picture} picture @param {number} left @param {number} top @param {number} width @param {number} height */
function areaOf({ rgba, ...picture }, left, top, width, height) {
  const bytes = new Uint8Array(3 * width * height);
  let to = 0;
  for (let y = top; y < top + height; y++) {
    const row = reflect(y, picture.height) * picture.width;
    for (let x = left; x < left + width; x++) {
      const from = 4 * (row + reflect(x, picture.width));
      for (let c = 0; c < 3; c++) bytes[to++] = rgba[from + c];
    }
  }
  return { width, height, bytes };
}

/** Areas one after the other, and a table of where they lie. @param {ReturnType<typeof areaOf>[]} areas */
function laid(areas) {
  const sizes = areas.map(({ bytes }) => bytes.length);
  const all = new Uint8Array(Math.ceil(sizes.reduce((sum, size) => sum + size, 0) / 4) * 4);
  let at = 0;
  const rows = areas.map(({ width, height, bytes }) => {
    all.set(bytes, at);
    at += bytes.length;
    return [0, at - bytes.length, width, height];
  });
  return { words: new Uint32Array(all.buffer), rows };
}

/** Held-out squares of `side` pixels in the last rows or the middle of pictures, spread evenly.
 * @param {Picture[]} pictures @param {Spec} spec @param {number} number of the square @param {boolean} low */
function square(pictures, { side, squares }, number, low) {
  const picture = pictures[number % pictures.length];
  const each = Math.ceil(squares / pictures.length);
  const part = (2 * Math.floor(number / pictures.length) + 1) / (2 * each);
  const left = Math.round(Math.min(Math.max(picture.width * part - side / 2, 0), Math.max(picture.width - side, 0)));
  return areaOf(picture, left, Math.max(low ? picture.height - side : (picture.height - side) >> 1, 0), side, side);
}

/** Lays photographs out: about one in twenty is held out, as src/train/data.rs has it. @param {Picture[]} pictures @param {Spec} spec */
function ofPhotographs(pictures, spec) {
  const { length } = pictures;
  const count = Math.min(Math.max(Math.floor(length / 20), 1), spec.squares);
  const held = new Set(Array.from({ length: count }, (_, k) => Math.floor(((2 * k + 1) * length) / (2 * count))));
  const training = pictures.filter((_, i) => length === 1 || !held.has(i));
  const heldOut = pictures.filter((_, i) => held.has(i));
  const whole = training.map((p) => areaOf(p, 0, 0, Math.max(p.width, spec.crop), Math.max(p.height, spec.crop)));
  return { areas: whole, squares: Array.from({ length: spec.squares }, (_, i) => square(heldOut, spec, i, false)) };
}

/** Lays shots of a scene out, of which any two are a pair: the last rows are held out, if there is room. @param {Picture[]} shots @param {Spec} spec */
function ofShots(shots, spec) {
  const [{ width, height }] = shots;
  const rows = height >= spec.side + spec.crop ? height - spec.side : height;
  const areas = shots.map((shot) => areaOf(shot, 0, 0, Math.max(width, spec.crop), Math.max(rows, spec.crop)));
  const squares = Array.from({ length: 2 * spec.squares }, (_, i) => square([shots[i % 2]], spec, i >> 1, true));
  return { areas, squares };
}

/** @param {Picture[]} pictures @param {boolean} shots whether they are shots of one scene @param {Spec} spec
 * @returns {import('./training.js').Pictures} */
export function layOut(pictures, shots, spec) {
  const { areas, squares } = shots ? ofShots(pictures, spec) : ofPhotographs(pictures, spec);
  const [training, held] = [laid(areas), laid(squares)];
  const rows = Array.from({ length: spec.count * (shots ? 2 : 1) }, (_, i) => training.rows[i % areas.length]);
  // Behind the pictures' rows, those of scenes: the first shot, and how many.
  const scenes = (/** @type {number} */ length, /** @type {(i: number) => number[]} */ scene) =>
    (shots ? Array.from({ length }, (_, i) => [...scene(i), 0, 0]) : []);
  return {
    table: Uint32Array.from([...rows, ...scenes(spec.count, () => [0, areas.length])].flat()),
    shard: training.words,
    heldTable: Uint32Array.from([...held.rows, ...scenes(spec.squares, (i) => [2 * i, 2])].flat()),
    held: held.words,
  };
}
