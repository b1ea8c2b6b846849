// Owns the device, the photograph and what became of it, so that the page itself always answers.
import { Denoiser } from './denoise.js';
import { estimate } from './estimate.js';
import { factsOf, withFacts } from './metadata.js';
import { flatten, parseModel } from './model.js';
import { DeviceError } from './player.js';

/**
 * A model that the page has: `least` and `judges` say whether and how it tells the noise of a photograph.
 * @typedef {{name: string, about: string, noise: string, network: number, judges: boolean, least: number}} Entry
 * @typedef {import('./denoise.js').Picture} Picture
 */

/** What the page is told in a sentence of its own. */
class Sentence extends Error {}
/** Thrown where a later request has taken over. */
class Replaced extends Error {}

const state = {
  /** @type {import('./denoise.js').Network[]} */ networks: [],
  /** @type {Entry[]} */ entries: [],
  /** @type {string[]} */ files: [],
  /** @type {GPUDevice | null} */ device: null,
  /** @type {{model: number | ArrayBuffer, denoiser: Denoiser, entry: Entry} | null} the last one used */ ready: null,
  /** @type {Picture | null} */ picture: null,
  /** @type {Uint8ClampedArray<ArrayBuffer> | null} */ denoised: null,
  /** @type {import('./metadata.js').Facts} */ facts: { exif: null, profile: null },
  /** Number of the latest job: those before it end. */ job: 0,
  /** How often the device was lost. */ losses: 0,
};

/** Ends a job where a later one has taken over. @param {number} job */
function goOn(job) {
  if (job !== state.job) throw new Replaced();
}

/** @param {object} message @param {Transferable[]} transfer */
function tell(message, transfer = []) {
  postMessage(message, { transfer });
}

/** What an element of the page holds: compressed, as text. @param {string} text */
async function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip')));
}

/** @param {{entries: Entry[], plans: string, files: string[]}} message */
async function setUp({ entries, plans, files }) {
  Object.assign(state, { entries, files });
  state.networks = await (await unpacked(plans)).json();
  await openDevice();
}

async function openDevice() {
  const none = 'This browser offers no WebGPU here. A recent Chrome, Edge, Safari or Firefox has it; on Linux it may have to be switched on.';
  if (state.device) return state.device;
  if (!navigator.gpu) throw new Sentence(none);
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter) throw new Sentence(`${none} The browser found no graphics device it trusts.`);
  const device = await adapter.requestDevice();
  state.device = device;
  device.lost.then(({ message, reason }) => {
    if (state.device === device) Object.assign(state, { device: null, ready: null, losses: state.losses + 1 });
    tell({ kind: 'lost', message: message || reason });
  });
  const { vendor, architecture, device: name, description } = adapter.info ?? {};
  tell({ kind: 'device', name: description || [vendor, architecture, name].filter(Boolean).join(' ') || 'WebGPU' });
  return device;
}

/** Reads a photograph, upright, in the values that the file has. @param {Blob} file */
async function read(file) {
  const bitmap = await createImageBitmap(file, { colorSpaceConversion: 'none' }).catch(() => {
    throw new Sentence('This is no picture that the browser can read: PNG, JPEG, WebP, AVIF, GIF or BMP will do.');
  });
  const { width, height } = bitmap;
  if (Math.max(width, height) > 32767 || width * height > 2 ** 28) {
    throw new Sentence(`This picture has ${width} x ${height} pixels, more than browsers can show: cut it, or use n2n-gpu denoise.`);
  }
  const rgba = new Uint8ClampedArray(4 * width * height);
  // A band at a time, so that a large photograph is in memory once.
  const band = Math.min(height, 256);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (
    new OffscreenCanvas(width, band).getContext('2d', { willReadFrequently: true }));
  for (let top = 0; top < height; top += band) {
    const rows = Math.min(band, height - top);
    context.clearRect(0, 0, width, band);
    context.drawImage(bitmap, 0, top, width, rows, 0, 0, width, rows);
    rgba.set(context.getImageData(0, 0, width, rows).data, 4 * width * top);
  }
  return { bitmap, picture: { width, height, rgba } };
}

/** @param {{file: Blob, model: number | ArrayBuffer}} message @param {number} job */
async function open({ file, model }, job) {
  Object.assign(state, { picture: null, denoised: null });
  const { bitmap, picture } = await read(file);
  goOn(job);
  const facts = await factsOf(new Uint8Array(await file.arrayBuffer()));
  Object.assign(state, { picture, facts });
  tell({ kind: 'opened', width: picture.width, height: picture.height, bitmap }, [bitmap]);
  await denoise({ model }, job);
}

/** The denoiser of a model: one of the page's by number, or a file. @param {number | ArrayBuffer} model */
async function denoiserOf(model) {
  if (state.ready?.model === model) return state.ready;
  const device = await openDevice();
  const file = typeof model === 'number' ? await (await unpacked(state.files[model])).arrayBuffer() : model;
  const { tensors, metadata } = parseModel(file);
  const number = typeof model === 'number' ? state.entries[model].network : networkOf(metadata);
  const entry = typeof model === 'number' ? state.entries[model] : { name: '', about: '', noise: '', network: number, judges: true, least: 0 };
  const ranges = { input: metadata.range, output: metadata.output_range ?? metadata.range };
  const flat = (/** @type {any} */ parameters, /** @type {number} */ length) => flatten(parameters, length, tensors);
  state.ready?.denoiser.destroy();
  state.ready = { model, denoiser: new Denoiser(device, state.networks[number], flat, ranges), entry };
  return state.ready;
}

/** Number of the network that a file is of. @param {import('./model.js').Metadata} metadata */
function networkOf(metadata) {
  /** @type {any} */
  const given = metadata.options ?? metadata;
  const number = state.networks.findIndex(({ net, options }) =>
    net === metadata.net && Object.entries(options).every(([name, value]) => given[name] === value));
  if (number >= 0) return number;
  const known = state.networks.map(({ net, options }) => [net, ...Object.entries(options).map((pair) => pair.join(' '))].join(', '));
  throw new Sentence(`This model is of another network. This page has: ${known.join('; ')}. n2n-gpu export --web makes a page for yours.`);
}

/** @param {{model: number | ArrayBuffer}} message @param {number} job */
async function denoise({ model }, job) {
  const { picture } = state;
  if (!picture) return;
  const { width, height, rgba } = picture;
  const { denoiser, entry } = await denoiserOf(model);
  goOn(job);
  state.denoised = null;
  const denoised = new Uint8ClampedArray(rgba.length);
  // Compiling the kernels comes before and is not counted.
  await denoiser.fit(width);
  const begun = performance.now();
  const seconds = () => (performance.now() - begun) / 1000;
  await denoiser.denoise(picture, denoised, () => goOn(job), (area, done) => {
    const pixels = cut(denoised, width, area);
    tell({ kind: 'piece', area, pixels, done, seconds: seconds() }, [pixels.buffer]);
  });
  state.denoised = denoised;
  const judged = entry.judges ? estimate(rgba, denoised, width, height, entry.least) : null;
  tell({ kind: 'done', seconds: seconds(), judged });
}

/** Pixels of an area. @param {Uint8ClampedArray} rgba @param {number} stride @param {import('./denoise.js').Area} area */
function cut(rgba, stride, { left, top, width, height }) {
  const pixels = new Uint8ClampedArray(4 * width * height);
  for (let y = 0; y < height; y++) {
    const start = 4 * ((top + y) * stride + left);
    pixels.set(rgba.subarray(start, start + 4 * width), 4 * width * y);
  }
  return pixels;
}

/** @param {{type: 'image/png' | 'image/jpeg', strength: number}} message */
async function save({ type, strength }) {
  const { picture, denoised, facts } = state;
  if (!picture || !denoised) return;
  const { width, height, rgba } = picture;
  const canvas = new OffscreenCanvas(width, height);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext('2d', { willReadFrequently: true }));
  for (let top = 0; top < height; top += 256) {
    const rows = Math.min(256, height - top);
    const [noisy, clean] = [rgba, denoised].map((all) => all.subarray(4 * width * top, 4 * width * (top + rows)));
    const pixels = new Uint8ClampedArray(noisy.length);
    for (let i = 0; i < pixels.length; i++) pixels[i] = noisy[i] + strength * (clean[i] - noisy[i]);
    context.putImageData(new ImageData(pixels, width, rows), 0, top);
  }
  if (type === 'image/jpeg') {
    context.globalCompositeOperation = 'destination-over';
    context.fillStyle = 'white';
    context.fillRect(0, 0, width, height);
  }
  const blob = await canvas.convertToBlob({ type, quality: 0.95 });
  const bytes = await withFacts(new Uint8Array(await blob.arrayBuffer()), facts);
  tell({ kind: 'saved', blob: new Blob([/** @type {Uint8Array<ArrayBuffer>} */ (bytes)], { type }) });
}

/** @param {unknown} error */
function sentence(error) {
  if (error instanceof DeviceError) {
    const advice = error.memory ? 'Close other tabs and try again, or take a smaller picture.' : 'Try again, or another browser.';
    return `${error.memory ? 'The graphics device ran out of memory.' : error.message} ${advice}`;
  }
  if (error instanceof RangeError) return 'The browser ran out of memory for this picture. Close other tabs, or take a smaller one.';
  return error instanceof Error ? error.message : String(error);
}

/** @type {Record<string, (message: any, job: number) => Promise<void>>} */
const REQUESTS = { setUp, open, denoise, save };

/** @param {any} message @param {number} job */
async function answer(message, job) {
  const { losses } = state;
  try {
    await REQUESTS[message.kind](message, job);
  } catch (error) {
    // What a lost device leaves undone is told by its loss.
    if (!(error instanceof Replaced) && losses === state.losses) tell({ kind: 'failed', during: message.kind, message: sentence(error) });
  }
}

// One after the other, as they share a player; what is under way ends as soon as it sees that it has been replaced.
let last = Promise.resolve();
addEventListener('message', ({ data }) => {
  const job = data.kind === 'save' ? state.job : ++state.job;
  last = last.then(() => answer(data, job));
});
