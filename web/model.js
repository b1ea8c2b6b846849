// Model files: safetensors in PyTorch's layouts, with our metadata; and their parameters as plans have them.

/**
 * @typedef {import('./player.js').Parameter} Parameter
 * @typedef {{dtype: string, shape: number[], values: () => Float32Array}} Tensor
 * @typedef {{net: string, options?: Record<string, unknown>, range: number[], output_range?: number[], noise: string}} Metadata
 */

/** A number of half precision. @param {number} bits */
function ofHalf(bits) {
  const [sign, exponent, fraction] = [bits & 0x8000 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** @type {Record<string, (bytes: ArrayBuffer) => Float32Array>} */
const READERS = {
  F16: (bytes) => Float32Array.from(new Uint16Array(bytes), ofHalf),
  BF16: (bytes) => new Float32Array(Uint32Array.from(new Uint16Array(bytes), (bits) => bits << 16).buffer),
  F32: (bytes) => new Float32Array(bytes),
  F64: (bytes) => Float32Array.from(new Float64Array(bytes)),
};

/** @param {ArrayBuffer} file @returns {{tensors: Map<string, Tensor>, metadata: Metadata}} */
export function parseModel(file) {
  const whole = new Error('This is no whole model file: give best.safetensors of a run of n2n-gpu train.');
  try {
    const header = Number(new DataView(file).getBigUint64(0, true));
    const { __metadata__: entries, ...described } = JSON.parse(new TextDecoder().decode(new Uint8Array(file, 8, header)));
    const metadata = JSON.parse(entries['n2n-gpu']);
    const tensors = Object.entries(described).map(([name, { dtype, shape, data_offsets: [from, to] }]) => {
      if (8 + header + to > file.byteLength) throw whole;
      const values = () => READERS[dtype](file.slice(8 + header + from, 8 + header + to));
      return /** @type {[string, Tensor]} */ ([name, { dtype, shape, values }]);
    });
    return { tensors: new Map(tensors), metadata };
  } catch {
    throw whole;
  }
}

/** Where the channels of runs lie, each of which is padded to a multiple of four, and how many there are then. @param {number[]} runs */
function channels(runs) {
  /** @type {number[]} */
  const places = [];
  let base = 0;
  for (const run of runs) {
    for (let i = 0; i < run; i++) places.push(base + i);
    base += Math.ceil(run / 4) * 4;
  }
  return { places, padded: base };
}

/** For every element of a parameter as a file has it, its place in the flat parameters of a plan. @param {Parameter} parameter */
export function placesOf({ layout, offset, shape }) {
  if (layout.kind === 'vector') return Array.from({ length: shape[0] }, (_, i) => offset + i);
  const transposed = layout.kind === 'conv-transpose';
  const [input, output] = [channels(layout.in), channels(layout.out)];
  const [outer, inner] = transposed ? [input, output] : [output, input];
  const taps = shape[2] * shape[3];
  /** @type {number[]} */
  const places = [];
  for (const a of outer.places) {
    for (const b of inner.places) {
      for (let tap = 0; tap < taps; tap++) places.push(offset + (tap * inner.padded + b) * outer.padded + a);
    }
  }
  return places;
}

/**
 * The flat parameters of a plan from a file's tensors. Fails with a sentence if the file is of another network.
 * @param {Parameter[]} parameters @param {number} length @param {Map<string, Tensor>} tensors
 */
export function flatten(parameters, length, tensors) {
  const flat = new Float32Array(length);
  for (const parameter of parameters) {
    const tensor = tensors.get(parameter.name);
    if (!tensor || `${tensor.shape}` !== `${parameter.shape}` || !(tensor.dtype in READERS)) {
      throw new Error(`This model is of another network than those of this page (its tensor ${parameter.name} differs).`);
    }
    const values = tensor.values();
    if (!values.every(Number.isFinite)) throw new Error(`The tensor ${parameter.name} of this model holds values that are not finite.`);
    placesOf(parameter).forEach((place, i) => (flat[place] = values[i]));
  }
  return flat;
}

/**
 * A model file of flat parameters. @param {Parameter[]} parameters @param {Float32Array} flat @param {object} metadata
 */
export function modelFile(parameters, flat, metadata) {
  /** @type {Record<string, any>} */
  const described = { __metadata__: { 'n2n-gpu': JSON.stringify(metadata) } };
  /** @type {Float32Array<ArrayBuffer>[]} */
  const parts = [];
  let from = 0;
  for (const parameter of parameters) {
    const values = Float32Array.from(placesOf(parameter), (place) => flat[place]);
    described[parameter.name] = { dtype: 'F32', shape: parameter.shape, data_offsets: [from, (from += values.byteLength)] };
    parts.push(values);
  }
  const text = JSON.stringify(described);
  const header = new TextEncoder().encode(text + ' '.repeat(7 - ((new TextEncoder().encode(text).length + 7) % 8)));
  return new Blob([BigUint64Array.of(BigInt(header.length)), header, ...parts]).arrayBuffer();
}
