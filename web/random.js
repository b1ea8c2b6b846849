// Fresh parameters: the numbers of src/ops/rng.rs and src/nets/init.rs.
import { placesOf } from './model.js';

const STREAM = 2 ** 31;

/** Four random integers from a counter (Jarzynski and Olano 2020). @param {number[]} counter */
function pcg4d(counter) {
  const v = Uint32Array.from(counter, (c) => Math.imul(c, 1664525) + 1013904223);
  const mix = () => {
    v[0] += Math.imul(v[1], v[3]);
    v[1] += Math.imul(v[2], v[0]);
    v[2] += Math.imul(v[0], v[1]);
    v[3] += Math.imul(v[1], v[2]);
  };
  mix();
  v.forEach((x, i) => (v[i] = x ^ (x >>> 16)));
  mix();
  return v;
}

/** Standard normal numbers (Box and Muller 1958). @param {number} seed @param {number} stream */
function* normals(seed, stream) {
  for (let i = 0; ; i++) {
    const [a, b, c, d] = Array.from(pcg4d([i, stream, seed, 0x6e326e67]), (bits) => ((bits >>> 9) + 0.5) / 2 ** 23);
    const [r, s] = [a, c].map((u) => Math.sqrt(-2 * Math.log(u)));
    yield r * Math.cos(2 * Math.PI * b);
    yield r * Math.sin(2 * Math.PI * b);
    yield s * Math.cos(2 * Math.PI * d);
  }
}

/**
 * The flat parameters of a network at first, by Glorot and Bengio 2010.
 * @param {import('./player.js').Parameter[]} parameters @param {number} length @param {number} seed
 */
export function initial(parameters, length, seed) {
  const flat = new Float32Array(length);
  parameters.forEach((parameter, number) => {
    const { fill, shape: [outer, inner, ...window] } = parameter;
    const places = placesOf(parameter);
    if (fill !== null) return places.forEach((place) => (flat[place] = fill));
    const scale = Math.sqrt(2 / ((outer + inner) * window[0] * window[1]));
    const drawn = normals(seed, STREAM + number);
    places.forEach((place) => (flat[place] = /** @type {number} */ (drawn.next().value) * scale));
  });
  return flat;
}
