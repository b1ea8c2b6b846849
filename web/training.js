// Trains a network in the tab: what src/train/trainer.rs and src/train/validation.rs do, on players of two plans. One makes a step, the
// other looks at held-out squares with the averaged parameters.
import { oneOf } from './denoise.js';
import { flatten, modelFile, parseModel } from './model.js';
import { DeviceError, Player } from './player.js';
import { initial } from './random.js';

/**
 * @typedef {import('./player.js').Plan} Plan
 * @typedef {{plan: Plan, draw: number, table: number, shard: number, params: number}} Drawing
 * @typedef {Drawing & {control: number, log: number, moments: number, ema: number}} Step
 * @typedef {Drawing & {x: number, t: number, y: number}} Look
 * @typedef {{shaders: Plan['shaders'], plans: unknown}} Plans for every kind of noise, in one
 * What src/export/web/training.rs gives: plans for graphics devices, for those whose activations have half precision, and for adapters that
 * compute on the processor.
 * @typedef {{metadata: import('./model.js').Metadata, starts: number[], noises: {noise: string, about: string, unbiased: boolean}[],
 *   batch: number, crop: number, side: number, squares: number, count: number, capacity: number, rate: number, finer: number,
 *   warmUp: number, decay: number, betas: number[], rows: number, sets: Record<'devices' | 'halves' | 'software', Plans>}} Spec
 * Pictures as the plans want them: rows of shard, first value, width, height; bytes (H, W, 3) in words. Held-out squares have their own.
 * @typedef {Record<'table' | 'shard' | 'heldTable' | 'held', Uint32Array<ArrayBuffer>>} Pictures
 * Curves: pairs of a step and a value. `single` says that half precision was too little.
 * @typedef {{noise: number, start: number | null, seed: number, steps: number, seconds: number, losses: number[][], scores: number[][], single?: boolean}} Course
 * @typedef {Course & {params: Float32Array<ArrayBuffer>, moments: Float32Array<ArrayBuffer>, ema: Float32Array<ArrayBuffer>}} Snapshot
 */

/** Points of a curve, at most. */
const POINTS = 400;
/** Gradients in a row that may overflow in half precision, as of src/train/log.rs. */
const OVERFLOWS = 20;
/** The step whose random numbers the exposures of the held-out squares have. */
const LAST = 2 ** 32 - 1;

/** Adds to a curve; of a long one, every other point stays. @param {number[][]} curve @param {number[]} point */
function note(curve, point) {
  if (curve.push(point) > POINTS) curve.splice(0, Infinity, ...curve.filter((_, i) => i % 2));
}

/** Values (N, H, W, 3) from 0 to 1 of such with four channels. @param {Float32Array} values @param {number[]} range what 0 and 1 are in them */
function colours(values, [low, high]) {
  return Float32Array.from({ length: (values.length / 4) * 3 }, (_, i) => (values[4 * Math.floor(i / 3) + (i % 3)] - low) / (high - low));
}

/** Mean squared error. @param {ArrayLike<number>} a @param {ArrayLike<number>} b */
function mse(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] - b[i]) ** 2;
  return sum / a.length;
}

/** Squares (N, H, W, 3) from 0 to 1 side by side, as RGBA. @param {Float32Array} values @param {number} side */
function sideBySide(values, side) {
  const width = values.length / 3 / side;
  const rgba = new Uint8ClampedArray(4 * width * side).fill(255);
  for (let i = 0; i < values.length / 3; i++) {
    const [n, y, x] = [Math.floor(i / side / side), Math.floor(i / side) % side, i % side];
    for (let c = 0; c < 3; c++) rgba[4 * (y * width + n * side + x) + c] = 255 * values[3 * i + c];
  }
  return rgba;
}

/** Where losses or gradients are not finite. */
export class Unstable extends Error {
  /** @param {string} message @param {boolean} half whether that was in half precision, so that single precision may do */
  constructor(message, half) {
    super(message);
    this.half = half;
  }
}

export class Training {
  /**
   * Readies a training, fresh or where a snapshot has it. @param {GPUDevice} device @param {boolean} software whether that is the processor
   * @param {Spec} spec @param {Pictures} pictures @param {Snapshot | Course} course
   * @param {ArrayBuffer | null} file the model that fine-tuning begins with
   */
  static async create(device, software, spec, pictures, course, file) {
    const half = device.features.has('shader-f16') && !course.single;
    try {
      return await Training.by(software ? 'software' : half ? 'halves' : 'devices', device, spec, pictures, course, file);
    } catch (error) {
      if (!half || !(error instanceof DeviceError) || error.memory) throw error;
      return Training.by('devices', device, spec, pictures, course, file);
    }
  }

  /** By plans of a kind. @private
   * @param {keyof Spec['sets']} kind @param {GPUDevice} device @param {Spec} spec @param {Pictures} pictures
   * @param {Snapshot | Course} course @param {ArrayBuffer | null} file */
  static async by(kind, device, spec, pictures, course, file) {
    const { shaders, plans } = spec.sets[kind];
    /** @type {{step: Step, look: Look}} */
    const { step, look } = oneOf(plans, course.noise);
    const players = [];
    try {
      for (const { plan } of [step, look]) {
        plan.shaders = plan.shaders.map((number) => shaders[Number(number)]);
        players.push(await Player.create(device, plan));
      }
      return new Training(spec, pictures, course, [step, look], players, file);
    } catch (error) {
      players.forEach((player) => player.destroy());
      throw error;
    }
  }

  /**
   * @private @param {Spec} spec @param {Pictures} pictures @param {Snapshot | Course} course @param {[Step, Look]} plans
   * @param {Player[]} players @param {ArrayBuffer | null} file
   */
  constructor(spec, pictures, course, [step, look], players, file) {
    this.spec = spec;
    this.step = step;
    this.look = look;
    this.player = players[0];
    this.looker = players[1];
    const { params, moments, ema, ...rest } = /** @type {Partial<Snapshot> & Course} */ (course);
    /** @type {Course} */
    this.course = rest;
    const { noise, seed } = rest;
    const { parameters, storages } = step.plan;
    const length = storages[step.params].len;
    const first = params ?? (file ? flatten(parameters, length, parseModel(file).tensors) : initial(parameters, length, seed));
    this.player.write(step.params, first);
    this.player.write(step.ema, ema ?? first);
    if (moments) this.player.write(step.moments, moments);
    this.player.write(step.table, pictures.table);
    this.player.write(step.shard, pictures.shard);
    this.looker.write(look.table, pictures.heldTable);
    this.looker.write(look.shard, pictures.held);
    const shown = Array.from({ length: spec.squares }, (_, i) => [i, 0]).flat();
    this.looker.write(look.draw, Uint32Array.of(LAST, seed, 0, 0, ...shown));
    const bytes = new Uint8Array(pictures.held.buffer);
    /** What the held-out squares are without noise, where that is known. */
    this.clean = spec.noises[noise].unbiased ? null : Float32Array.from(bytes.subarray(0, spec.squares * spec.side ** 2 * 3), (v) => v / 255);
    /** @type {Float32Array[]} the two exposures of the held-out squares */
    this.exposures = [];
    /** Steps in a row whose gradients are not finite: the device leaves them out. In half precision some may be. */
    this.overflows = 0;
    this.most = step.plan.features.includes('f16') ? OVERFLOWS : 1;
  }

  /** Submits so many steps, and waits for their losses. @param {number} count */
  async advance(count) {
    const { course, spec, step, player } = this;
    for (let i = 0; i < count; i++, course.steps++) {
      const n = course.steps;
      const rate = spec.rate * (course.start === null ? 1 : spec.finer) * Math.min((n + 1) / spec.warmUp, 1);
      const corrections = spec.betas.map((beta) => 1 - beta ** (n + 1));
      const decay = Math.min(spec.decay, (1 + n) / (10 + n));
      player.write(step.control, Float32Array.of(rate, ...corrections, n % spec.rows, decay, 0, 0, 0));
      player.write(step.draw, Uint32Array.of(n, course.seed, 0, 0));
      player.run();
    }
    const rows = await player.read(step.log);
    let [sum, good] = [0, 0];
    for (let n = course.steps - count; n < course.steps; n++) {
      const [loss, norm] = rows.subarray(4 * (n % spec.rows));
      this.overflows = Number.isFinite(norm) ? 0 : this.overflows + 1;
      if (!Number.isFinite(loss) || this.overflows >= this.most) {
        throw new Unstable(`The training became unstable at step ${n + 1}. Go on from what was kept, or start over.`, this.most > 1);
      }
      if (this.overflows) continue;
      sum += loss;
      good++;
    }
    if (good) note(course.losses, [course.steps, sum / good]);
  }

  /** Denoises the held-out squares: the noisy ones and what became of them, as RGBA. */
  async score() {
    const { look, looker, course, spec } = this;
    const { range, output_range: output = range } = spec.metadata;
    looker.write(look.params, await this.averaged());
    looker.run();
    if (!this.exposures.length) this.exposures = [colours(await looker.read(look.x), range), colours(await looker.read(look.t), output)];
    const [a, b] = this.exposures;
    // As a file of 8 bit has it.
    const y = colours(await looker.read(look.y), output).map((v) => Math.round(Math.min(Math.max(v, 0), 1) * 255) / 255);
    const error = this.clean ? mse(y, this.clean) : mse(y, b) - mse(a, b) / 2;
    // An estimate may come out as no error at all: it tells nothing then.
    if (error > 1e-6) note(course.scores, [course.steps, -10 * Math.log10(error)]);
    return [a, y].map((values) => sideBySide(values, spec.side));
  }

  /** The averaged parameters. */
  averaged() {
    return /** @type {Promise<Float32Array<ArrayBuffer>>} */ (this.player.read(this.step.ema));
  }

  /** All that it takes to go on. @returns {Promise<Snapshot>} */
  async snapshot() {
    const { step, player, course } = this;
    const at = structuredClone(course);
    const [params, moments, ema] = await Promise.all([step.params, step.moments, step.ema].map((id) => player.read(id)));
    return /** @type {Snapshot} */ ({ ...at, params, moments, ema });
  }

  /** A model file. */
  async file() {
    const { spec, course, step } = this;
    const metadata = { ...spec.metadata, noise: spec.noises[course.noise].noise, steps: course.steps };
    return modelFile(step.plan.parameters, await this.averaged(), metadata);
  }

  /** Gives its memory back. */
  destroy() {
    this.player.destroy();
    this.looker.destroy();
  }
}
