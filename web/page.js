// What people see and touch: photographs in, settings, progress, results out. The worker does the work.
import { Camera } from './camera.js';
import { Trainer } from './train.js';
import { $, button, select, Viewer } from './viewer.js';

/**
 * @typedef {import('./worker.js').Entry} Entry
 * @typedef {{noise: number, strength: number} | null} Judged
 */

const viewer = new Viewer();
const text = (/** @type {string} */ id) => $(id).textContent ?? '';
const input = (/** @type {string} */ id) => /** @type {HTMLInputElement} */ ($(id));

/** @type {Entry[]} */
const entries = JSON.parse(text('models'));
const page = {
  /** @type {File[]} */ photos: [],
  /** Number of the last one that was opened. */ shown: -1,
  /** What is shown is called so. */ name: '',
  /** @type {number | null} the run of the camera whose frames are shown */ live: null,
  /** @type {(number | ArrayBuffer)[]} by the options of the list */ models: entries.map((_, i) => i),
  /** Pixels of the photograph. */ pixels: 0,
  /** Whether the strength is the user's, so that none is chosen. */ touched: false,
  /** @type {HTMLElement | null} what asked for a file to be saved */ asker: null,
  /** Whether it is training that is shown. */ training: false,
  /** @type {string | null} the model that is the user's choice, in the list */ chosen: null,
};

const worker = new Worker(URL.createObjectURL(new Blob([text('worker')], { type: 'text/javascript' })));

const trainer = new Trainer((message) => {
  $('alert').hidden = true;
  worker.postMessage(message);
}, entries, () => $('files').click());

const camera = new Camera((file, live) => worker.postMessage({ kind: 'frame', file, live, model: model() }, [file]), (run) => {
  $('camera').textContent = run === null ? 'Camera' : 'Stop the camera';
  if (run === null) {
    if (page.live !== null) $('status').textContent = 'Done: the last frame stays.';
    return;
  }
  const asked = document.activeElement === $('welcome-camera');
  Object.assign(page, { live: run, name: 'camera', touched: false });
  select('photos').selectedIndex = -1;
  $('photos-row').hidden = !page.photos.length;
  name();
  begin();
  viewer.clear();
  setStrength(100);
  $('status').textContent = 'Live from the camera.';
  show(false);
  if (asked) $('camera').focus();
}, (message) => complain(message, false));

/** Shows denoising, or training. @param {boolean} training */
function show(training) {
  page.training = training;
  if (training) camera.stop();
  $('training').hidden = !training;
  $('welcome').hidden = training || !!page.name;
  $('work').hidden = training || !page.name;
  $('open-more').hidden = $('camera').hidden = $('work').hidden;
  $('to-train').setAttribute('aria-pressed', String(training));
  $('to-denoise').setAttribute('aria-pressed', String(!training));
}

/** Says what went wrong; `retry` is offered where it may help. @param {string} message @param {boolean} retry */
function complain(message, retry) {
  $('alert-text').textContent = message;
  $('alert').hidden = false;
  $('retry').hidden = !retry;
  $('status').textContent = '';
  progress(0);
}

/** @param {number} done share */
function progress(done) {
  /** @type {HTMLProgressElement} */ ($('progress')).value = done;
}

/** @param {boolean} ready */
function saveable(ready) {
  button('save-png').disabled = button('save-jpeg').disabled = !ready;
}

function model() {
  return page.models[Number(select('model').value)];
}

function begin() {
  $('alert').hidden = true;
  saveable(false);
  progress(0);
  $('judged').textContent = '';
  $('about').textContent = entries[Number(select('model').value)]?.about ?? '';
}

/** Says what is shown. */
function name() {
  $('name').textContent = page.name;
  $('size').textContent = '';
}

/** Opens a photograph of the list. @param {number} number */
function open(number) {
  const file = page.photos[number];
  camera.stop();
  Object.assign(page, { shown: number, name: file.name, live: null, touched: false });
  $('photos-row').hidden = page.photos.length < 2;
  select('photos').value = String(number);
  begin();
  $('status').textContent = 'Opening…';
  name();
  worker.postMessage({ kind: 'open', file, model: model() });
}

/** Adds a model to choose. @param {string} name @param {ArrayBuffer} file */
function addModel(name, file) {
  select('model').add(new Option(name, String(page.models.push(file) - 1)), entries.length);
  select('model').value = String(page.models.length - 1);
  page.chosen = select('model').value;
}

/** @param {Blob} blob @param {string} name */
function download(blob, name) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** Denoises what is shown once more. */
function again() {
  $('alert').hidden = true;
  // The next frame will be.
  if (camera.on) return;
  page.live = null;
  if (!page.pixels) return page.photos.length ? open(page.shown) : worker.postMessage(setUp);
  begin();
  viewer.clear();
  $('status').textContent = 'Denoising…';
  worker.postMessage({ kind: 'denoise', model: model() });
}

/** @param {Iterable<File>} files photographs, and models */
async function take(files) {
  const all = [...files];
  const isModel = (/** @type {File} */ file) => file.name.toLowerCase().endsWith('.safetensors');
  for (const file of all.filter(isModel)) addModel(file.name, await file.arrayBuffer());
  const photos = all.filter((file) => !isModel(file));
  if (page.training && photos.length) return trainer.take(photos);
  if (!photos.length) return all.length ? again() : undefined;
  page.photos.push(...photos);
  select('photos').replaceChildren(...page.photos.map(({ name }, i) => new Option(name, String(i))));
  open(page.photos.length - photos.length);
}

/** @param {number} seconds */
function duration(seconds) {
  return seconds < 90 ? `${Math.ceil(seconds)} s` : `${Math.ceil(seconds / 60)} min`;
}

/** @param {number} strength percent */
function setStrength(strength) {
  input('strength').value = String(strength);
  $('strength-value').textContent = `${strength} %`;
  viewer.blend(strength / 100);
}

/** What the worker tells. @type {Record<string, (message: any) => void>} */
const REPORTS = {
  device: ({ name, software }) => {
    $('device').textContent = software ? `Computes on the processor: ${name}` : `Computes on: ${name}`;
    const before = model();
    if (software && page.chosen === null) select('model').value = String(lightest());
    if (page.photos.length && model() !== before) again();
    offerTraining();
    if (!page.photos.length) worker.postMessage({ kind: 'warmUp', model: model() });
  },
  opened: ({ bitmap }) => {
    if (page.live !== null) return;
    measure(bitmap);
    show(page.training);
    $('status').textContent = 'Readying the network…';
    viewer.show(bitmap);
    setStrength(100);
  },
  piece: ({ area, pixels, done, seconds }) => {
    if (page.live !== null) return;
    viewer.put(area, pixels);
    progress(done);
    const left = duration((seconds / done) * (1 - done));
    $('status').textContent = `${Math.floor(done * 100)} %, ${left} left, ${speed(done, seconds)}`;
  },
  frame: ({ bitmap, pixels, live, seconds }) => {
    if (live !== page.live) return;
    measure(bitmap);
    $('size').textContent += `, ${(1 / seconds).toFixed(1)} a second`;
    viewer.frame(bitmap, pixels);
  },
  done: ({ seconds, judged, live = null }) => {
    if (live !== page.live) return;
    progress(1);
    if (live === null) $('status').textContent = `Done in ${seconds.toFixed(1)} s, ${speed(1, seconds)}`;
    if (judged && !page.touched) setStrength(Math.round(judged.strength * 100));
    const chosen = page.touched ? '.' : ', so this strength was chosen.';
    $('judged').textContent = judged ? `The noise is about ${judged.noise.toFixed(1)} of 255${chosen}` : '';
    saveable(true);
    if (live !== null) camera.next(live);
  },
  saved: ({ blob }) => {
    const stem = page.name.replace(/\.[^.]*$/, '') || 'photo';
    download(blob, `${stem}-denoised.${blob.type === 'image/png' ? 'png' : 'jpg'}`);
    saveable(true);
    page.asker?.focus();
  },
  trainable: (message) => {
    $('training-plans').textContent = '';
    trainer.trainable(message);
  },
  course: (message) => trainer.course(message),
  trained: ({ file, use, steps }) => {
    if (!use) return download(new Blob([file]), 'model.safetensors');
    addModel(`Trained here, ${steps} steps`, file);
    show(false);
    $('to-denoise').focus();
    if (page.name) again();
  },
  lost: ({ message }) => {
    camera.stop();
    trainer.failed();
    $('device').textContent = 'No graphics device';
    complain(`The browser lost the graphics device (${message}). The photograph and the training are still here.`, true);
  },
  failed: ({ during, message }) => {
    // The first photograph will tell.
    if (during === 'warmUp') return;
    if (during === 'frame' || during === 'setUp') camera.stop();
    if (during === 'train' || during === 'resume') trainer.failed();
    if (during === 'setUp') {
      $('device').textContent = 'No graphics device';
      offerTraining();
    }
    if (during === 'open') page.pixels = 0;
    complain(message, during !== 'open');
    saveable(during === 'save');
  },
};

/** Takes the size of what is shown. @param {ImageBitmap} bitmap */
function measure({ width, height }) {
  page.pixels = width * height;
  $('size').textContent = `${width} × ${height} pixels, ${(page.pixels / 1e6).toFixed(1)} megapixels`;
}

/** @param {number} done share @param {number} seconds */
function speed(done, seconds) {
  return `${((page.pixels * done) / 1e6 / Math.max(seconds, 1e-3)).toFixed(2)} megapixels/s`;
}

/** @param {'image/png' | 'image/jpeg'} type @param {HTMLElement} asker */
function save(type, asker) {
  page.asker = asker;
  saveable(false);
  worker.postMessage({ kind: 'save', type, strength: Number(input('strength').value) / 100 });
}

/** Number of the model that takes the least work, of those for the same noise as the first one. */
function lightest() {
  return entries.reduce((best, { noise, work }, i) => (noise === entries[0].noise && work < entries[best].work ? i : best), 0);
}

/** Has the worker tell what there is to train: after what the first picture waits for. */
function offerTraining() {
  const training = $('training-plans').textContent;
  if (training) worker.postMessage({ kind: 'setUpTraining', training, place: location.href.replace(/[?#].*/, '') });
}

function listen() {
  worker.addEventListener('message', ({ data }) => REPORTS[data.kind](data));
  worker.addEventListener('error', ({ message }) => complain(`The page failed (${message}). Reload it, or try another browser.`, false));
  for (const id of ['choose', 'open-more']) $(id).onclick = () => $('files').click();
  for (const id of ['files', 'model-file']) {
    input(id).onchange = async () => {
      await take(input(id).files ?? []);
      input(id).value = '';
    };
  }
  addEventListener('paste', ({ clipboardData }) => take(clipboardData?.files ?? []));
  addEventListener('dragover', (event) => {
    event.preventDefault();
    document.body.classList.add('over');
  });
  addEventListener('dragleave', ({ relatedTarget }) => relatedTarget ?? document.body.classList.remove('over'));
  addEventListener('drop', (event) => {
    event.preventDefault();
    document.body.classList.remove('over');
    take(event.dataTransfer?.files ?? []);
  });
  select('photos').onchange = () => open(Number(select('photos').value));
  let before = '';
  select('model').onfocus = () => (before = select('model').value);
  select('model').onchange = () => {
    if (select('model').value === 'file') {
      select('model').value = page.chosen ?? before;
      return $('model-file').click();
    }
    page.chosen = select('model').value;
    return again();
  };
  input('strength').oninput = () => {
    page.touched = true;
    setStrength(Number(input('strength').value));
  };
  for (const id of ['camera', 'welcome-camera']) $(id).onclick = () => camera.toggle();
  $('retry').onclick = () => (page.live === null ? again() : camera.toggle());
  $('to-denoise').onclick = () => show(false);
  for (const id of ['to-train', 'welcome-train']) $(id).onclick = () => show(true);
  $('dismiss').onclick = () => ($('alert').hidden = true);
  button('save-png').onclick = ({ currentTarget }) => save('image/png', /** @type {HTMLElement} */ (currentTarget));
  button('save-jpeg').onclick = ({ currentTarget }) => save('image/jpeg', /** @type {HTMLElement} */ (currentTarget));
}

/** Noise on the left of the drawing. */
function drawGrain() {
  let random = 7;
  const next = (/** @type {number} */ below) => (random = (random * 16807) % 2147483647) % below;
  $('grain').innerHTML = Array.from({ length: 150 }, () =>
    `<rect x="${6 + next(53)}" y="${6 + next(67)}" width="1.5" height="1.5" opacity="${(2 + next(8)) / 10}"/>`).join('');
}

const photos = [...document.querySelectorAll('[id^=photo-]')].map(({ textContent }) => textContent ?? '');
const setUp = {
  kind: 'setUp', entries, plans: text('plans'), files: entries.map((_, i) => text(`model-${i}`)), photos,
};
drawGrain();
select('model').append(...entries.map(({ name }, i) => new Option(name, String(i))), new Option('From a file…', 'file'));
listen();
worker.postMessage(setUp);
