// Replays a plan, which is JSON that Rust wrote (src/plan/serial.rs): buffers, pipelines, dispatches, and storages that the host
// writes and reads. It knows no operation, and nothing of pictures.

/**
 * @typedef {{name: string, role: string, buffer: number | null, len: number, element: 'f32' | 'u32' | 'f16', fill: number}} Storage
 * @typedef {{kind: 'vector'} | {kind: 'conv' | 'conv-transpose', in: number[], out: number[]}} Layout
 * @typedef {{name: string, shape: number[], layout: Layout, offset: number, trained: boolean,
 *   fill: number | null}} Parameter
 * @typedef {{pipeline: number, bindings: {buffer: number, offset: number, size: number}[], workgroups: number[]}} Dispatch
 * @typedef {{
 *   format: string, version: number, features: string[], params: number, gradients: number | null,
 *   shaders: {name: string, wgsl: string}[],
 *   pipelines: {shader: number, constants: Record<string, number>}[],
 *   buffers: {bytes: number, words?: number[]}[], storages: Storage[], parameters: Parameter[], dispatches: Dispatch[],
 * }} Plan
 */

/** What a device could not do: there is no memory left, or it does not take what the plan asks for. */
export class DeviceError extends Error {
  /** @param {string} message @param {boolean} memory whether memory ran out */
  constructor(message, memory) {
    super(message);
    this.memory = memory;
  }
}

/**
 * Runs what makes things on a device, and fails if the device could not make them.
 * @template T @param {GPUDevice} device @param {() => Promise<T>} make @returns {Promise<T>}
 */
export async function checked(device, make) {
  device.pushErrorScope('validation');
  device.pushErrorScope('out-of-memory');
  const made = await make().then((value) => ({ value }), (error) => ({ error }));
  const [memory, validation] = await Promise.all([device.popErrorScope(), device.popErrorScope()]);
  if (memory) throw new DeviceError(memory.message, true);
  if (validation) throw new DeviceError(validation.message, false);
  if ('error' in made) throw made.error;
  return made.value;
}

/** What is compiled for a device, by text and then by constants: plans of a network for different widths have most of it in common.
 * @type {WeakMap<GPUDevice, Map<string, {module: GPUShaderModule, pipelines: Map<string, Promise<GPUComputePipeline>>}>>} */
const compiled = new WeakMap();

/** @param {GPUDevice} device @param {{name: string, wgsl: string}} shader @param {Record<string, number>} constants */
function pipelineOf(device, { name, wgsl }, constants) {
  const known = compiled.get(device) ?? new Map();
  compiled.set(device, known);
  const of = known.get(wgsl) ?? { module: device.createShaderModule({ label: name, code: wgsl }), pipelines: new Map() };
  known.set(wgsl, of);
  const key = JSON.stringify(constants);
  const made = of.pipelines.get(key)
    ?? device.createComputePipelineAsync({ layout: 'auto', compute: { module: of.module, entryPoint: 'main', constants } });
  of.pipelines.set(key, made);
  // What failed may do once there is more memory, and says once more why if it does not.
  made.catch(() => known.delete(wgsl));
  return made;
}

/** A plan on a device. */
export class Player {
  /** @param {GPUDevice} device @param {Plan} plan */
  static create(device, plan) {
    if (plan.format !== 'n2n-gpu plan' || ![2, 3].includes(plan.version)) throw new Error('This is no plan that the page knows.');
    return checked(device, async () => {
      const player = new Player(device, plan);
      await player.prepare();
      return player;
    });
  }

  /** @private @param {GPUDevice} device @param {Plan} plan */
  constructor(device, plan) {
    this.device = device;
    this.plan = plan;
    const { STORAGE, UNIFORM, COPY_SRC, COPY_DST } = GPUBufferUsage;
    this.buffers = plan.buffers.map(({ bytes, words }) =>
      device.createBuffer({ size: bytes, usage: words ? UNIFORM | COPY_DST : STORAGE | COPY_SRC | COPY_DST }));
    /** @type {{pipeline: GPUComputePipeline, group: GPUBindGroup, workgroups: number[]}[]} */
    this.dispatches = [];
  }

  /** @private */
  async prepare() {
    const { device, plan, buffers } = this;
    const pipelines = await Promise.all(plan.pipelines.map(({ shader, constants }) => pipelineOf(device, plan.shaders[shader], constants)));
    this.dispatches = plan.dispatches.map(({ pipeline: number, bindings, workgroups }) => {
      const pipeline = pipelines[number];
      const entries = bindings.map(({ buffer, offset, size }, binding) =>
        ({ binding, resource: { buffer: buffers[buffer], offset, size } }));
      return { pipeline, group: device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }), workgroups };
    });
    plan.buffers.forEach(({ words }, i) => words && device.queue.writeBuffer(buffers[i], 0, Uint32Array.from(words)));
    plan.storages.forEach(({ role, len, fill, element }, id) => {
      // Buffers are zeros at first.
      if (role === 'host' && fill !== 0) this.write(id, (element === 'u32' ? new Uint32Array(len) : new Float32Array(len)).fill(fill));
    });
  }

  /** The buffer of a storage of the host's. @private @param {number} id */
  buffer(id) {
    const { role, buffer, name } = this.plan.storages[id];
    if (role !== 'host' || buffer === null) throw new Error(`The storage ${name} is not the host's.`);
    return this.buffers[buffer];
  }

  /** @param {number} id storage @param {Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>} data all of it, or its beginning */
  write(id, data) {
    this.device.queue.writeBuffer(this.buffer(id), 0, data);
  }

  /** Submits all dispatches. */
  run() {
    const encoder = this.device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (const { pipeline, group, workgroups: [x, y, z] } of this.dispatches) {
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(x, y, z);
    }
    pass.end();
    this.device.queue.submit([encoder.finish()]);
  }

  /** What a storage of floats holds after all runs so far. @param {number} id @returns {Promise<Float32Array>} */
  async read(id) {
    const size = 4 * this.plan.storages[id].len;
    const staging = this.device.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
    const encoder = this.device.createCommandEncoder();
    encoder.copyBufferToBuffer(this.buffer(id), 0, staging, 0, size);
    this.device.queue.submit([encoder.finish()]);
    await staging.mapAsync(GPUMapMode.READ);
    const data = new Float32Array(staging.getMappedRange().slice(0));
    staging.destroy();
    return data;
  }

  /** Gives its memory back. */
  destroy() {
    this.buffers.forEach((buffer) => buffer.destroy());
  }
}
