// Training as people see it: what to train on and for which noise, curves, held-out squares that get cleaner, and the model in the end.
import { $, button, select } from './viewer.js';

/**
 * @typedef {Omit<import('./training.js').Spec, 'sets'>} Spec
 * @typedef {import('./training.js').Course} Course
 */

/** Draws a curve, with its highest and lowest value beside it.
 * @param {string} id of the svg @param {number[][]} points @param {(value: number) => string} label */
function draw(id, points, label) {
  const [xs, ys] = [0, 1].map((axis) => points.map((point) => point[axis]));
  const ends = points.length ? { top: label(Math.max(...ys)), bottom: label(Math.min(...ys)) } : { top: '', bottom: '' };
  Object.assign($(id).parentElement?.dataset ?? {}, ends);
  const place = (/** @type {number[]} */ all, /** @type {number} */ v) => (v - Math.min(...all)) / (Math.max(...all) - Math.min(...all) || 1);
  const at = points.map(([x, y]) => `${(400 * place(xs, x)).toFixed(1)},${(95 - 90 * place(ys, y)).toFixed(1)}`);
  $(id).querySelector('polyline')?.setAttribute('points', at.join(' '));
}

/** @param {number} seconds */
function clock(seconds) {
  const minutes = Math.floor(seconds / 60);
  return minutes ? `${minutes} min ${Math.floor(seconds % 60)} s` : `${seconds.toFixed(1)} s`;
}

export class Trainer {
  /**
   * @param {(message: any) => void} ask the worker @param {import('./worker.js').Entry[]} entries
   * @param {() => void} choose pictures
   */
  constructor(ask, entries, choose) {
    this.ask = ask;
    this.entries = entries;
    /** @type {Spec | null} */
    this.spec = null;
    /** @type {File[]} to train on, in place of the page's own */
    this.files = [];
    /** @type {'none' | 'waiting' | 'running' | 'paused'} */
    this.phase = 'none';
    button('train').disabled = true;
    /** The phase before it was asked to start or to go on. @type {Trainer['phase']} */
    this.before = 'none';
    $('train').onclick = () => this.go();
    $('discard').onclick = () => {
      ask({ kind: 'discard' });
      this.enter('none', 'Ready to start.');
      $('pace').textContent = '';
      $('train').focus();
    };
    $('use').onclick = () => ask({ kind: 'trained', use: true });
    $('download').onclick = () => ask({ kind: 'trained', use: false });
    select('source').onchange = () => {
      if (select('source').value !== 'own') return;
      select('source').value = this.files.length ? 'files' : '';
      choose();
    };
    document.addEventListener('visibilitychange', () => document.hidden && ask({ kind: 'hide' }));
  }

  /** @param {{spec: Spec | null, course: Course | null}} message */
  trainable({ spec, course }) {
    this.spec = spec;
    $('mode').hidden = !spec;
    if (!spec) return;
    button('train').disabled = false;
    select('noise').replaceChildren(...spec.noises.map(({ about }, i) => new Option(about, String(i))));
    const models = spec.starts.map((i) => new Option(`The model ${this.entries[i].name} (fine-tuning)`, String(i)));
    select('start').replaceChildren(new Option('Nothing: a fresh network', ''), ...models);
    if (course) {
      this.show(course, []);
      this.enter('paused', `A training of ${course.steps} steps is kept in this browser.`);
    }
  }

  /** @param {File[]} files */
  take(files) {
    if (this.phase !== 'none') return this.enter(this.phase, 'To train on other pictures, discard this training first.');
    this.files = files;
    select('source').replaceChildren(
      new Option(`Your ${files.length === 1 ? 'picture' : `${files.length} pictures`}`, 'files'),
      new Option('Photographs of this page', ''), new Option('Others of yours…', 'own'));
  }

  /** Starts, stops, or goes on. @private */
  go() {
    if (this.phase === 'waiting') return;
    if (this.phase === 'running') return this.ask({ kind: 'pause' });
    this.before = this.phase;
    const start = select('start').value;
    const files = select('source').value === 'files' ? this.files : null;
    if (this.phase === 'paused') this.ask({ kind: 'resume' });
    else this.ask({ kind: 'train', files, noise: Number(select('noise').value), start: start === '' ? null : Number(start) });
    this.enter('waiting', 'Readying the network and the pictures…');
  }

  /** @private @param {Trainer['phase']} phase @param {string} status */
  enter(phase, status) {
    this.phase = phase;
    const begun = phase === 'paused' || phase === 'running';
    button('train').textContent = { none: 'Start', waiting: 'Wait…', running: 'Stop', paused: 'Go on' }[phase];
    $('training-status').textContent = status;
    /** @type {HTMLFieldSetElement} */ ($('choices')).disabled = phase !== 'none';
    $('results').hidden = !begun;
  }

  /** @param {{course: Course, strips: Uint8ClampedArray<ArrayBuffer>[], running: boolean, lasting: boolean,
   * pictures: number}} message `lasting`: whether it will be there after a reload */
  course({ course, strips, running, lasting, pictures }) {
    if (this.phase === 'none') return;
    this.show(course, strips);
    $('pace').textContent = `Step ${course.steps}, ${clock(course.seconds)}, ${pictures.toFixed(1)} crops a second`;
    const phase = running ? 'running' : 'paused';
    const stopped = `Stopped after ${course.steps} steps${lasting ? '; kept in this browser' : ''}.`;
    if (phase !== this.phase) this.enter(phase, running ? 'Training. It goes on while this tab is hidden.' : stopped);
  }

  /** It could not start or go on. */
  failed() {
    if (this.phase === 'waiting') this.enter(this.before, '');
  }

  /** @private @param {Course} course @param {Uint8ClampedArray<ArrayBuffer>[]} strips */
  show({ losses, scores, noise }, strips) {
    const { spec } = this;
    if (!spec) return;
    select('noise').value = String(noise);
    const [loss, score] = [losses, scores].map((curve) => curve.at(-1)?.[1]);
    draw('loss-curve', losses.map(([x, y]) => [x, Math.log(y)]), (v) => Math.exp(v).toPrecision(2));
    draw('psnr-curve', scores, (v) => v.toFixed(1));
    $('loss').textContent = loss?.toPrecision(3) ?? '';
    $('psnr').textContent = score ? `${score.toFixed(2)} dB` : '';
    $('psnr-name').textContent = spec.noises[noise].unbiased ? 'PSNR, estimated' : 'PSNR';
    const canvas = /** @type {HTMLCanvasElement} */ ($('held'));
    const [width, height] = [spec.side * spec.squares, spec.side];
    if (strips.length) [canvas.width, canvas.height] = [width, 2 * height];
    strips.forEach((rgba, i) => canvas.getContext('2d')?.putImageData(new ImageData(rgba, width, height), 0, i * height));
  }
}
