// Denoises a picture strip by strip: what src/denoise/pieces.rs does, on a player.
import { DeviceError, Player } from './player.js';
import { fittingColumns, nextMultiple, reflect, stripsDown, windows } from './windows.js';

/**
 * @typedef {import('./player.js').Plan} Plan
 * @typedef {import('./windows.js').Window} Window
 * @typedef {{columns: number, rows: number, first: number, lag: number, x: number, control: number, y: number, plan: Plan}} Strip
 * A network: `ladder` has the columns of the strips there are plans for, `strips` those plans in one, `halves` the same in half precision,
 * and `software` those for adapters that compute on the processor.
 * @typedef {{net: string, options: Record<string, unknown>, multiple: number, overlap: number, shaders: Plan['shaders'], ladder: number[],
 *   strips: unknown, halves: unknown, software: unknown}} Network
 * @typedef {{width: number, height: number, rgba: Uint8ClampedArray<ArrayBuffer>}} Picture
 * @typedef {{input: number[], output: number[]}} Ranges what the values 0 and 1 of a picture are to the network
 * @typedef {{left: number, top: number, width: number, height: number}} Area
 */

/** One of several values that Rust merged (src/export/web/mod.rs): where they differ, all are listed.
 * @param {any} merged @param {number} number @returns {any} */
export function oneOf(merged, number) {
  if (Array.isArray(merged)) return merged.map((/** @type {any} */ value) => oneOf(value, number));
  if (merged === null || typeof merged !== 'object') return merged;
  if ('each' in merged) return merged.each[number];
  /** @type {Record<string, any>} */
  const one = {};
  for (const name of Object.keys(merged)) one[name] = oneOf(merged[name], number);
  return one;
}

/** @typedef {'strips' | 'halves' | 'software'} Kind of plans */

/** @param {Network} network @param {number} columns @param {Kind} kind @returns {Strip} */
function stripOf(network, columns, kind) {
  const strip = oneOf(network[kind], network.ladder.indexOf(columns));
  strip.plan.shaders = strip.plan.shaders.map((/** @type {number} */ number) => network.shaders[number]);
  return strip;
}

/** A network with parameters on a device. */
export class Denoiser {
  /**
   * @param {GPUDevice} device @param {Network} network
   * @param {(parameters: import('./player.js').Parameter[], length: number) => Float32Array<ArrayBuffer>} flatten gives the parameters
   * @param {Ranges} ranges @param {boolean} software whether the device is the processor
   */
  constructor(device, network, flatten, ranges, software) {
    this.device = device;
    this.network = network;
    this.flatten = flatten;
    this.ranges = ranges;
    /** @type {Kind} What lies between layers has half precision where there is such, but not where that was too little. */
    this.kind = software ? 'software' : device.features.has('shader-f16') ? 'halves' : 'strips';
    /** Most columns of a strip: fewer once memory ran out. */
    this.most = Infinity;
    /** @type {{strip: Strip, player: Player} | null} the last one used */
    this.prepared = null;
  }

  /** Makes the plan ready for pictures of a width. @param {number} pixels */
  async fit(pixels) {
    const { overlap, multiple } = this.network;
    const width = nextMultiple(pixels, multiple);
    for (;;) {
      const ladder = this.network.ladder.filter((columns) => columns <= this.most);
      const columns = fittingColumns(ladder, width, overlap, multiple);
      if (this.prepared?.strip.columns === columns) return this.prepared;
      this.destroy();
      const strip = stripOf(this.network, columns, this.kind);
      try {
        const player = await Player.create(this.device, strip.plan);
        const { params, storages, parameters } = strip.plan;
        player.write(params, this.flatten(parameters, storages[params].len));
        this.prepared = { strip, player };
        return this.prepared;
      } catch (error) {
        if (this.isTooCoarse(error)) continue;
        // The narrowest strips that can stand side by side are the last to be tried.
        if (!(error instanceof DeviceError && error.memory) || columns <= 2 * overlap + multiple) throw error;
        this.most = columns - 1;
      }
    }
  }

  /**
   * Denoises a picture into `out`, of its size. `goOn` is called before each strip and ends the work by throwing; `finished` is told each
   * area as it is done, and the share of the work that is. @param {Picture} picture @param {Uint8ClampedArray} out @param {() => void} goOn
   * @param {(area: Area, share: number) => void} finished
   */
  async denoise(picture, out, goOn, finished) {
    try {
      await this.run(picture, out, goOn, finished);
    } catch (error) {
      if (!this.isTooCoarse(error)) throw error;
      await this.run(picture, out, goOn, finished);
    }
  }

  /** Turns to single precision if a device failed in half precision, for another reason than memory. @private @param {unknown} error */
  isTooCoarse(error) {
    const is = this.kind === 'halves' && error instanceof DeviceError && !error.memory;
    if (is) {
      this.kind = 'strips';
      this.destroy();
    }
    return is;
  }

  /** The same, as precise as it is set. @private @type {Denoiser['denoise']} */
  async run(picture, out, goOn, finished) {
    const { multiple, overlap } = this.network;
    const [width, height] = [picture.width, picture.height].map((size) => nextMultiple(size, multiple));
    const { strip, player } = await this.fit(picture.width);
    const down = stripsDown(picture.height, strip.rows, strip.lag);
    const across = windows(width, strip.columns, overlap, multiple);
    let runs = 0;
    const x = new Float32Array(strip.rows * strip.columns * 4);
    const values = Float32Array.from({ length: 256 }, (_, v) => mix(this.ranges.input, v / 255));
    /** @type {(() => Promise<void>) | null} */
    let waiting = null;
    for (const columns of across) {
      const places = Int32Array.from({ length: strip.columns }, (_, i) => 4 * reflect(columns.start + i, picture.width));
      for (const rows of down) {
        goOn();
        fill(picture, rows.start, Math.min(strip.rows, height - rows.start), places, values, x);
        player.write(strip.control, Uint32Array.of(rows.start, height));
        player.write(strip.x, x);
        player.run();
        const read = rows.to > rows.from ? player.read(strip.y) : null;
        // While the device works on this strip, the one before is stored.
        await waiting?.();
        const share = ++runs / (down.length * across.length);
        waiting = read && (async () => finished(this.store(await read, strip, rows, columns, picture, out), share));
      }
    }
    await waiting?.();
  }

  /** Puts results into `out`. @private
   * @param {Float32Array} y @param {Strip} strip @param {Window} rows @param {Window} columns @param {Picture} picture
   * @param {Uint8ClampedArray} out @returns {Area} */
  store(y, strip, rows, columns, picture, out) {
    const [low, high] = this.ranges.output;
    const scale = 255 / (high - low);
    const area = { left: columns.from, top: rows.from, width: Math.min(columns.to, picture.width) - columns.from, height: rows.to - rows.from };
    let finite = true;
    for (let i = 0; i < area.height; i++) {
      const row = rows.from + i + strip.lag + strip.first - rows.start;
      let from = 4 * (row * strip.columns + columns.from - columns.start);
      let to = 4 * ((rows.from + i) * picture.width + area.left);
      for (let j = 0; j < area.width; j++, from += 4, to += 4) {
        finite &&= Number.isFinite(y[from] + y[from + 1] + y[from + 2]);
        out[to] = (y[from] - low) * scale;
        out[to + 1] = (y[from + 1] - low) * scale;
        out[to + 2] = (y[from + 2] - low) * scale;
        out[to + 3] = picture.rgba[to + 3];
      }
    }
    if (!finite) throw new DeviceError('The graphics driver gave values that are not finite.', false);
    return area;
  }

  /** Gives its memory back. */
  destroy() {
    this.prepared?.player.destroy();
    this.prepared = null;
  }
}

/** @param {number[]} range @param {number} value */
function mix([low, high], value) {
  return low + value * (high - low);
}

/**
 * Writes what a network sees of `rows` rows of a picture from `top` on; it is mirrored beyond its edges.
 * @param {Picture} picture @param {number} top @param {number} rows @param {Int32Array} places bytes of its columns within a row
 * @param {Float32Array} values what the network is given for a byte @param {Float32Array} x
 */
function fill({ width, height, rgba }, top, rows, places, values, x) {
  let to = 0;
  for (let i = 0; i < rows; i++) {
    const row = 4 * width * reflect(top + i, height);
    for (const place of places) {
      const from = row + place;
      x[to] = values[rgba[from]];
      x[to + 1] = values[rgba[from + 1]];
      x[to + 2] = values[rgba[from + 2]];
      to += 4;
    }
  }
}
