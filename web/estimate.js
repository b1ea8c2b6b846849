// How noisy a photograph is, told by what was taken away from its even blocks, and how much of that to blend in: as
// src/denoise/estimate.rs does it, which has the reasons.

/** @typedef {{noise: number, strength: number}} Estimate */

const SIDE = 128;
const WINDOWS = 12;
const BORDER = 8;
const BLOCK = 8;
const EVEN = 20;
const SEEN = [0.02, 0.98];
const OPEN = [0.15, 0.85];
const ENOUGH = 8;
const CLEAN = [1, 3.5];
const LESS = 0.7;

/** Left and top of windows in a grid over a picture. @param {number[]} picture @param {number[]} window width and height */
function* places(picture, window) {
  const columns = Math.min(Math.max(Math.round(Math.sqrt((WINDOWS * picture[0]) / picture[1])), 1), WINDOWS);
  const wanted = [columns, Math.max(Math.floor(WINDOWS / columns), 1)];
  const counts = wanted.map((count, i) => Math.min(count, Math.ceil(picture[i] / window[i])));
  const at = (/** @type {number} */ i, /** @type {number} */ k) =>
    Math.floor(((picture[i] - window[i]) * (2 * k + 1)) / (2 * counts[i]));
  for (let n = 0; n < counts[0] * counts[1]; n++) yield [at(0, n % counts[0]), at(1, Math.floor(n / counts[0]))];
}

/**
 * A block of both pictures, from byte `start` on. @param {Uint8ClampedArray} noisy @param {Uint8ClampedArray} denoised
 * @param {number} start @param {number} stride bytes from a row to the next
 */
function blockOf(noisy, denoised, start, stride) {
  const sums = [0, 0, 0];
  let squares = 0;
  let residual = 0;
  for (let y = 0; y < BLOCK; y++) {
    for (let x = 0; x < BLOCK; x++) {
      for (let c = 0; c < 3; c++) {
        const at = start + y * stride + 4 * x + c;
        const value = denoised[at] / 255;
        sums[c] += value;
        squares += value * value;
        residual += (value - noisy[at] / 255) ** 2;
      }
    }
  }
  const count = BLOCK * BLOCK;
  const means = sums.map((sum) => sum / count);
  const within = (/** @type {number[]} */ [low, high]) => means.every((mean) => mean >= low && mean <= high);
  const texture = squares / (3 * count) - means.reduce((sum, mean) => sum + mean * mean, 0) / 3;
  return { texture, residual: residual / (3 * count), seen: within(SEEN), open: within(OPEN) };
}

/**
 * Judges a picture (RGBA) by what became of it; null if nothing of it can be judged: it is tiny, or black and white.
 * @param {Uint8ClampedArray} noisy @param {Uint8ClampedArray} denoised @param {number} width @param {number} height
 * @param {number} least least deviation that the model was trained for, of 255 @returns {Estimate | null}
 */
export function estimate(noisy, denoised, width, height, least) {
  const [w, h] = [Math.min(width, SIDE), Math.min(height, SIDE)];
  const border = Math.min(w, h) > 4 * BORDER ? BORDER : 0;
  let blocks = [];
  for (const [left, top] of places([width, height], [w, h])) {
    for (let y = border; y + BLOCK <= h - border; y += BLOCK) {
      for (let x = border; x + BLOCK <= w - border; x += BLOCK) {
        blocks.push(blockOf(noisy, denoised, 4 * ((top + y) * width + left + x), 4 * width));
      }
    }
  }
  blocks = blocks.filter((block) => block.seen);
  const all = blocks.reduce((sum, block) => sum + block.residual, 0) / blocks.length;
  const open = blocks.filter((block) => block.open);
  if (open.length * ENOUGH >= blocks.length) blocks = open;
  blocks.sort((a, b) => a.texture - b.texture);
  const even = blocks.slice(0, Math.ceil(blocks.length / EVEN)).map((block) => block.residual).sort((a, b) => a - b);
  if (!even.length) return null;
  const variance = even[Math.floor(even.length / 4)];
  const noise = 255 * Math.sqrt(variance);
  const [low, high] = CLEAN;
  const strength = noise < LESS * least ? variance / Math.max(all, Number.MIN_VALUE) : (noise - low) / (high - low);
  return { noise, strength: Math.min(Math.max(strength, 0), 1) };
}
