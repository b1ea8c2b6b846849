// Denoises and trains with the plans of a page of `n2n-gpu export --web` in single and in half precision, on a device that offers
// `shader-f16`, and compares them. Chromium's software adapter does not offer it; Deno's WebGPU does, on llvmpipe too.
//
//     pip install deno && deno run --allow-read --unstable-webgpu tests/clients/half.js docs/demo/index.html
import { Denoiser } from '../../web/denoise.js';
import { flatten, parseModel } from '../../web/model.js';
import { layOut } from '../../web/pictures.js';
import { Training } from '../../web/training.js';

const page = await Deno.readTextFile(Deno.args[0]);
const element = (id) => page.split(`id="${id}">`)[1].split('</script>')[0];
const unpacked = (id) => {
  const bytes = Uint8Array.from(atob(element(id)), (character) => character.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip')));
};

const [width, height] = [61, 45];
const waves = (i) => 128 + 90 * Math.sin(i * 0.37) + 20 * Math.sin(i * i * 1.7);
const rgba = Uint8ClampedArray.from({ length: 4 * width * height }, (_, i) => (i % 4 === 3 ? 255 : waves(i)));

async function denoised(adapter, networks, number, entry, half) {
  const device = await adapter.requestDevice({ requiredFeatures: half ? ['shader-f16'] : [] });
  const { tensors, metadata } = parseModel(await unpacked(`model-${number}`).arrayBuffer());
  const ranges = { input: metadata.range, output: metadata.output_range ?? metadata.range };
  const denoiser = new Denoiser(device, networks[entry.network], (parameters, length) => flatten(parameters, length, tensors), ranges);
  const out = new Uint8ClampedArray(rgba.length);
  await denoiser.denoise({ width, height, rgba }, out, () => {}, () => {});
  if (denoiser.prepared.strip.plan.features.includes('f16') !== half) throw new Error('the plan is of the other precision');
  return out;
}

const adapter = await navigator.gpu?.requestAdapter();
if (!adapter?.features.has('shader-f16')) {
  console.log('left out: there is no device with shader-f16');
  Deno.exit(77);
}
const networks = await unpacked('plans').json();
let worst = 0;
for (const [number, entry] of JSON.parse(element('models')).entries()) {
  const [single, half] = [await denoised(adapter, networks, number, entry, false), await denoised(adapter, networks, number, entry, true)];
  const apart = Math.max(...single.map((value, i) => Math.abs(value - half[i])));
  console.log(`${entry.name}: ${apart} grey levels apart at most`);
  worst = Math.max(worst, apart);
}

const spec = await unpacked('training-plans').json();
const side = 4 * spec.side;
const photo = { width: side, height: side, rgba: Uint8ClampedArray.from({ length: 4 * side ** 2 }, (_, i) => (i % 4 === 3 ? 255 : waves(i))) };
const pictures = layOut([photo, photo], false, spec);

/** Losses of so many steps from fresh parameters. */
async function losses(half) {
  const device = await adapter.requestDevice({ requiredFeatures: half ? ['shader-f16'] : [] });
  const course = { noise: 0, start: null, seed: 1, steps: 0, seconds: 0, losses: [], scores: [] };
  const training = await Training.create(device, false, spec, pictures, course, null);
  if (training.step.plan.features.includes('f16') !== half) throw new Error('the training plan is of the other precision');
  for (let i = 0; i < 3; i++) await training.advance(1);
  await training.score();
  training.destroy();
  return course.losses.map(([, loss]) => loss);
}
const [single, half] = [await losses(false), await losses(true)];
const apart = Math.max(...single.map((loss, i) => Math.abs(half[i] / loss - 1)));
console.log(`losses of ${single.length} steps: ${apart.toExponential(1)} apart at most, ${single} and ${half}`);
Deno.exit(worst > 1 || apart > 0.01 ? 1 : 0);
