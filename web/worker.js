// Owns the device, the photograph and what became of it, so that the page itself always answers.
import { Denoiser } from './denoise.js';
import { estimate } from './estimate.js';
import { factsOf, withFacts } from './metadata.js';
import { flatten, parseModel } from './model.js';
import { layOut } from './pictures.js';
import { DeviceError } from './player.js';
import { forget, keep, kept } from './store.js';
import { Training, Unstable } from './training.js';

/**
 * A model that the page has: `least` and `judges` say whether and how it tells the noise of a photograph,
 * and `work` how many operations a pixel takes.
 * @typedef {{name: string, about: string, noise: string, network: number, judges: boolean, least: number, work: number}} Entry
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
  /** Whether that is the processor. */ software: false,
  /** @type {{model: number | ArrayBuffer, denoiser: Denoiser, entry: Entry} | null} the last one used */ ready: null,
  /** @type {Picture | null} */ picture: null,
  /** @type {Uint8ClampedArray<ArrayBuffer> | null} */ denoised: null,
  /** @type {import('./metadata.js').Facts} */ facts: { exif: null, profile: null },
  /** Number of the latest job: those before it end. */ job: 0,
  /** How often the device was lost. */ losses: 0,
  /** @type {import('./training.js').Spec | null} */ spec: null,
  /** @type {string[]} photographs to train on, in Base64 */ photos: [],
  /** Under which name trainings of this page are kept. */ place: '',
  /** @type {Training | null} */ training: null,
  /** Whether it is to make steps. */ running: false,
  /** @type {Promise<void>} ends with the last step */ loop: Promise.resolve(),
  /** @type {Promise<void>} ends with the picture that is being denoised */ work: Promise.resolve(),
  /** When the training is to be kept next. */ keepAt: 0,
};

/** Ends a job where a later one has taken over. @param {number} job */
function goOn(job) {
  if (job !== state.job) throw new Replaced();
}

/** @param {object} message @param {Transferable[]} transfer */
function tell(message, transfer = []) {
  postMessage(message, { transfer });
}

/** @param {string} text Base64 */
function bytesOf(text) {
  return new Blob([Uint8Array.from(atob(text), (character) => character.charCodeAt(0))]);
}

/** What an element of the page holds: compressed, as text. @param {string} text */
function unpacked(text) {
  return new Response(bytesOf(text).stream().pipeThrough(new DecompressionStream('gzip')));
}

/** @param {{entries: Entry[], plans: string, files: string[], photos: string[]}} message */
async function setUp({ entries, plans, files, photos }) {
  Object.assign(state, { entries, files, photos });
  const [networks, device] = await Promise.allSettled([unpacked(plans).json(), openDevice()]);
  if (networks.status === 'fulfilled') state.networks = networks.value;
  for (const done of [networks, device]) if (done.status === 'rejected') throw done.reason;
}

/** Compiles what a model runs, while its photograph is still chosen: on processors, where that takes longest and is the same for all sizes.
 * @param {{model: number}} message */
async function warmUp({ model }) {
  if (!state.software || state.ready || state.picture) return;
  const { denoiser } = await denoiserOf(model);
  await denoiser.fit(1);
}

/** Tells what there is to train. @param {{training: string, place: string}} message */
async function setUpTraining({ training, place }) {
  state.spec = await unpacked(training).json();
  // What another network was trained to is of no use.
  state.place = place + JSON.stringify([state.spec?.metadata, state.spec?.crop]);
  const { params, moments, ema, ...course } = (state.spec && (await kept(state.place))) ?? {};
  tell({ kind: 'trainable', spec: state.spec && { ...state.spec, sets: null }, course: params && course });
}

async function openDevice() {
  const none = 'This browser offers no WebGPU here. A recent Chrome, Edge, Safari or Firefox has it; on Linux it may have to be switched on.';
  if (state.device) return state.device;
  if (!navigator.gpu) throw new Sentence(none);
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter) throw new Sentence(`${none} The browser found no graphics device it trusts.`);
  const half = 'shader-f16';
  const device = await adapter.requestDevice({ requiredFeatures: adapter.features.has(half) ? [half] : [] });
  state.device = device;
  device.lost.then(({ message, reason }) => {
    if (state.device === device) Object.assign(state, { device: null, ready: null, training: null, running: false, losses: state.losses + 1 });
    tell({ kind: 'lost', message: message || reason });
  });
  const { vendor, architecture, device: name, description, isFallbackAdapter } = adapter.info ?? {};
  state.software = isFallbackAdapter || architecture === 'swiftshader';
  tell({ kind: 'device', software: state.software, name: description || [vendor, architecture, name].filter(Boolean).join(' ') || 'WebGPU' });
  return device;
}

/** Reads a photograph, upright, in the values that the file has. @param {Blob} file */
async function read(file) {
  const bitmap = await decoded(file);
  return { bitmap, picture: pixelsOf(bitmap) };
}

/** @param {Blob} file */
async function decoded(file) {
  const bitmap = await createImageBitmap(file, { colorSpaceConversion: 'none' }).catch(() => {
    throw new Sentence('This is no picture that the browser can read: PNG, JPEG, WebP, AVIF, GIF or BMP will do.');
  });
  const { width, height } = bitmap;
  if (Math.max(width, height) > 32767 || width * height > 2 ** 28) {
    throw new Sentence(`This picture has ${width} x ${height} pixels, more than browsers can show: cut it, or use n2n-gpu denoise.`);
  }
  return bitmap;
}

/** @param {ImageBitmap} bitmap @returns {Picture} */
function pixelsOf(bitmap) {
  const { width, height } = bitmap;
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
  return { width, height, rgba };
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

/** Opens a frame of a camera, which is shown once it is denoised.
 * @param {{file: ImageBitmap, live: number, model: number | ArrayBuffer}} message `live` is the number of the camera's run @param {number} job */
async function frame({ file, live, model }, job) {
  try {
    Object.assign(state, { picture: pixelsOf(file), facts: { exif: null, profile: null } });
    await denoise({ model, file, live }, job);
  } finally {
    file.close();
  }
}

/** The denoiser of a model: one of the page's by number, or a file. @param {number | ArrayBuffer} model */
async function denoiserOf(model) {
  if (state.ready?.model === model) return state.ready;
  const device = await openDevice();
  const file = typeof model === 'number' ? await unpacked(state.files[model]).arrayBuffer() : model;
  const { tensors, metadata } = parseModel(file);
  const number = typeof model === 'number' ? state.entries[model].network : networkOf(metadata);
  const entry = typeof model === 'number' ? state.entries[model] : { name: '', about: '', noise: '', network: number, judges: true, least: 0, work: 0 };
  const ranges = { input: metadata.range, output: metadata.output_range ?? metadata.range };
  const flat = (/** @type {any} */ parameters, /** @type {number} */ length) => flatten(parameters, length, tensors);
  state.ready?.denoiser.destroy();
  state.ready = { model, denoiser: new Denoiser(device, state.networks[number], flat, ranges, state.software), entry };
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

/** @param {{model: number | ArrayBuffer, file?: ImageBitmap, live?: number}} message @param {number} job */
async function denoise({ model, file, live }, job) {
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
    if (file) return;
    const pixels = cut(denoised, width, area);
    tell({ kind: 'piece', area, pixels, done, seconds: seconds() }, [pixels.buffer]);
  });
  state.denoised = denoised;
  if (file) tell({ kind: 'frame', bitmap: file, pixels: denoised.slice(), live, seconds: seconds() }, [file]);
  const judged = entry.judges ? estimate(rgba, denoised, width, height, entry.least) : null;
  tell({ kind: 'done', seconds: seconds(), judged, live });
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

/** Seconds between looks at the losses, and between saves. */
const LOOK = 0.4;
const KEEP = 10;
/** Steps between looks, at most. */
const MOST = 64;
/** Denoising the held-out squares takes one part in so many of the time. */
const SCORED = 8;

/** Pixels of pictures to train on, such that all have room: photographs are made smaller, shots are cut.
 * @param {Blob[]} files @param {boolean} shots @param {number} capacity bytes */
async function gathered(files, shots, capacity) {
  const most = capacity / 3 / files.length;
  const pictures = [];
  for (const file of files) {
    let bitmap = await decoded(file);
    const { width, height } = bitmap;
    const scale = Math.sqrt(most / (width * height));
    if (scale < 1) {
      const [resizeWidth, resizeHeight] = [width, height].map((size) => Math.floor(size * scale));
      if (!resizeWidth || !resizeHeight) throw new Sentence('These are more pictures than there is room for: take fewer.');
      bitmap = shots
        ? await createImageBitmap(bitmap, 0, 0, resizeWidth, resizeHeight)
        : await createImageBitmap(bitmap, { resizeWidth, resizeHeight, resizeQuality: 'high' });
    }
    pictures.push(pixelsOf(bitmap));
    bitmap.close();
  }
  const [{ width, height }] = pictures;
  if (!shots) return pictures;
  if (pictures.length < 2) throw new Sentence('A burst has two shots of one scene at least: choose several files at once.');
  if (pictures.some((p) => p.width !== width || p.height !== height)) throw new Sentence('Shots of one scene have one size: these differ.');
  return pictures;
}

/** Begins a training. @param {{files: Blob[] | null, noise: number, start: number | null}} message */
async function train({ files, noise, start }) {
  await pause();
  const { spec, place, photos } = state;
  if (!spec) throw new Sentence('The page is still readying its training: try again in a moment.');
  const shots = spec.noises[noise].noise === 'pairs';
  if (shots && !files) throw new Sentence('Photographs of the page are no burst: choose shots of your own.');
  const all = files ?? photos.map(bytesOf);
  if (!all.length) throw new Sentence('Choose pictures to train on.');
  const pictures = layOut(await gathered(all, shots, spec.capacity), shots, spec);
  const course = { noise, start, seed: 1, steps: 0, seconds: 0, losses: [], scores: [] };
  const file = start === null ? null : await unpacked(state.files[start]).arrayBuffer();
  state.training?.destroy();
  state.training = await Training.create(await openDevice(), state.software, spec, pictures, course, file);
  await keep(`${place} pictures`, pictures);
  begin(state.training);
}

/** The training there is, or the one that was kept. */
async function readied() {
  const { spec, place } = state;
  if (state.training) return state.training;
  const [snapshot, pictures] = await Promise.all([kept(place), kept(`${place} pictures`)]);
  if (!spec || !snapshot || !pictures) throw new Sentence('Nothing of this training is left: start anew.');
  return (state.training = await Training.create(await openDevice(), state.software, spec, pictures, snapshot, null));
}

async function resume() {
  await pause();
  begin(await readied());
}

async function pause() {
  state.running = false;
  await state.loop;
}

async function discard() {
  await pause();
  state.training?.destroy();
  state.training = null;
  await Promise.all([forget(state.place), forget(`${state.place} pictures`)]);
}

/** Keeps the training soon, as the tab may end. */
async function hide() {
  state.keepAt = 0;
}

/** Gives the trained model. @param {{use: boolean}} message */
async function trained({ use }) {
  const training = await readied();
  const file = await training.file();
  tell({ kind: 'trained', file, use, steps: training.course.steps }, [file]);
}

/** @param {Training} training */
function begin(training) {
  state.running = true;
  state.loop = steps(training);
}

/** Makes steps until they are to end. Pictures to be denoised go first. @param {Training} training */
async function steps(training) {
  const { losses } = state;
  const { course, spec } = training;
  const now = () => performance.now() / 1000;
  let lasting = false;
  const told = (/** @type {Uint8ClampedArray<ArrayBuffer>[]} */ strips = [], running = true) =>
    tell({ kind: 'course', course, strips, running, lasting, pictures: (course.steps * spec.batch) / Math.max(course.seconds, 1e-3) });
  const look = async () => told(await training.score());
  const save = async () => {
    lasting = await keep(state.place, await training.snapshot());
    state.keepAt = now() + KEEP;
  };
  try {
    await look();
    let [count, lookAt] = [1, 0];
    while (state.running) {
      await state.work;
      const begun = now();
      await training.advance(count);
      const seconds = now() - begun;
      course.seconds += seconds;
      count = Math.min(Math.max(Math.round((count * LOOK) / seconds), 1), MOST);
      told();
      if (now() > lookAt) {
        const start = now();
        await look();
        lookAt = now() + SCORED * (now() - start);
      }
      if (now() > state.keepAt) await save();
    }
    await look();
    await save();
  } catch (error) {
    state.running = false;
    // What was kept last is known to be good.
    if (state.training === training) state.training = null;
    training.destroy();
    const snapshot = error instanceof Unstable && error.half ? await kept(state.place) : null;
    // It goes on in single precision.
    if (snapshot) await keep(state.place, { ...snapshot, single: true });
    if (losses === state.losses) tell({ kind: 'failed', during: 'train', message: sentence(error) });
  }
  told([], false);
}

/** @param {unknown} error */
function sentence(error) {
  if (error instanceof DeviceError) {
    const advice = error.memory ? 'Close other tabs and try again, or take smaller pictures.' : 'Try again, or another browser.';
    return `${error.memory ? 'The graphics device ran out of memory.' : error.message} ${advice}`;
  }
  if (error instanceof RangeError) return 'The browser ran out of memory for this picture. Close other tabs, or take a smaller one.';
  return error instanceof Error ? error.message : String(error);
}

/** @type {Record<string, (message: any, job: number) => Promise<void>>} */
const REQUESTS = { setUp, warmUp, setUpTraining, open, frame, denoise, save, train, resume, pause, discard, hide, trained };

/** @param {any} message @param {number} job */
async function answer(message, job) {
  const { losses } = state;
  try {
    const doing = REQUESTS[message.kind](message, job);
    if (PICTURES.has(message.kind)) state.work = doing.catch(() => {});
    await doing;
  } catch (error) {
    // What a lost device leaves undone is told by its loss.
    if (!(error instanceof Replaced) && losses === state.losses) tell({ kind: 'failed', during: message.kind, message: sentence(error) });
  }
}

/** Requests that take over from each other, and for which a training waits. */
const PICTURES = new Set(['open', 'frame', 'denoise']);

// One after the other, as they share a player; what is under way ends as soon as it sees that it has been replaced.
let last = Promise.resolve();
addEventListener('message', ({ data }) => {
  const job = PICTURES.has(data.kind) ? ++state.job : state.job;
  last = last.then(() => answer(data, job));
});
