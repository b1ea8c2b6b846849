// The photograph before and after, one over the other: zoom, pan, and the divider between them.

/** @param {string} id */
export function $(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}
export const select = (/** @type {string} */ id) => /** @type {HTMLSelectElement} */ ($(id));
export const button = (/** @type {string} */ id) => /** @type {HTMLButtonElement} */ ($(id));

const LARGEST = 32;
const STEP = 1.25;

/** What keys do on the stage. */
const KEYS = /** @type {Record<string, (viewer: Viewer) => void>} */ ({
  '+': (viewer) => viewer.zoom(viewer.scale * STEP),
  '=': (viewer) => viewer.zoom(viewer.scale * STEP),
  '-': (viewer) => viewer.zoom(viewer.scale / STEP),
  0: (viewer) => viewer.fit(),
  1: (viewer) => viewer.zoom(1 / devicePixelRatio),
  ArrowLeft: (viewer) => viewer.move(50, 0),
  ArrowRight: (viewer) => viewer.move(-50, 0),
  ArrowUp: (viewer) => viewer.move(0, 50),
  ArrowDown: (viewer) => viewer.move(0, -50),
});

export class Viewer {
  constructor() {
    this.stage = $('stage');
    this.divider = $('divider');
    this.before = /** @type {HTMLCanvasElement} */ ($('before'));
    this.after = /** @type {HTMLCanvasElement} */ ($('after'));
    /** Pixels of the page to one of the picture, and where its corner is. */
    this.scale = 1;
    this.x = 0;
    this.y = 0;
    /** Whether the picture is shown as large as fits. */
    this.fitted = true;
    /** Where the divider is, in percent. */
    this.share = 50;
    /** @type {Map<number, PointerEvent>} fingers and buttons that are down */
    this.pointers = new Map();
    this.listen();
  }

  /** @private */
  listen() {
    const { stage, divider } = this;
    stage.addEventListener('wheel', (event) => {
      event.preventDefault();
      this.zoom(this.scale * Math.exp(-event.deltaY / (event.deltaMode ? 20 : 400)), event);
    }, { passive: false });
    stage.addEventListener('keydown', (event) => {
      if (event.target !== stage || event.ctrlKey || event.metaKey || !KEYS[event.key]) return;
      event.preventDefault();
      KEYS[event.key](this);
    });
    stage.addEventListener('dblclick', (event) => {
      if (event.target instanceof Element && event.target.closest('.zoom, #divider')) return;
      if (this.fitted) this.zoom(1 / devicePixelRatio, event);
      else this.fit();
    });
    stage.addEventListener('pointerdown', (event) => {
      if (event.target instanceof Element && event.target.closest('.zoom, #divider')) return;
      stage.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, event);
    });
    stage.addEventListener('pointermove', (event) => this.drag(event));
    for (const end of ['pointerup', 'pointercancel']) {
      stage.addEventListener(end, (event) => this.pointers.delete(/** @type {PointerEvent} */ (event).pointerId));
    }
    divider.addEventListener('pointerdown', (event) => divider.setPointerCapture(event.pointerId));
    divider.addEventListener('pointermove', (event) => {
      const { left, width } = stage.getBoundingClientRect();
      if (divider.hasPointerCapture(event.pointerId)) this.divide(((event.clientX - left) / width) * 100);
    });
    divider.addEventListener('keydown', ({ key, shiftKey }) => {
      const step = shiftKey ? 10 : 2;
      const to = /** @type {Record<string, number>} */ ({ ArrowLeft: this.share - step, ArrowRight: this.share + step, Home: 0, End: 100 });
      if (key in to) this.divide(to[key]);
    });
    $('zoom-in').onclick = () => this.zoom(this.scale * STEP);
    $('zoom-out').onclick = () => this.zoom(this.scale / STEP);
    $('fit').onclick = () => this.fit();
    $('pixels').onclick = () => this.zoom(1 / devicePixelRatio);
    new ResizeObserver(() => (this.fitted ? this.fit() : this.draw())).observe(stage);
  }

  /** One pointer moves the picture, two zoom it. @private @param {PointerEvent} event */
  drag(event) {
    const last = this.pointers.get(event.pointerId);
    if (!last) return;
    const other = [...this.pointers.values()].find(({ pointerId }) => pointerId !== event.pointerId);
    this.pointers.set(event.pointerId, event);
    if (other) {
      const distance = (/** @type {PointerEvent} */ a) => Math.hypot(a.clientX - other.clientX, a.clientY - other.clientY);
      this.zoom((this.scale * distance(event)) / Math.max(distance(last), 1), other);
    } else {
      this.move(event.clientX - last.clientX, event.clientY - last.clientY);
    }
  }

  /** Shows a photograph, as yet without a result. @param {ImageBitmap} bitmap */
  show(bitmap) {
    const { before, after } = this;
    [after.width, after.height] = [before.width, before.height] = [bitmap.width, bitmap.height];
    before.getContext('bitmaprenderer')?.transferFromImageBitmap(bitmap);
    this.fit();
  }

  /** Shows a frame and its result. @param {ImageBitmap} bitmap @param {Uint8ClampedArray<ArrayBuffer>} pixels */
  frame(bitmap, pixels) {
    const { width, height } = bitmap;
    const same = this.before.width === width && this.before.height === height;
    if (same) this.before.getContext('bitmaprenderer')?.transferFromImageBitmap(bitmap);
    else this.show(bitmap);
    this.put({ left: 0, top: 0, width, height }, pixels);
  }

  /** Forgets the result. */
  clear() {
    this.after.getContext('2d')?.clearRect(0, 0, this.after.width, this.after.height);
  }

  /** Shows a part of the result. @param {{left: number, top: number, width: number, height: number}} area
   * @param {Uint8ClampedArray<ArrayBuffer>} pixels */
  put({ left, top, width, height }, pixels) {
    this.after.getContext('2d')?.putImageData(new ImageData(pixels, width, height), left, top);
  }

  /** How much of the result is blended in. @param {number} strength 0 to 1 */
  blend(strength) {
    this.after.style.opacity = String(strength);
  }

  fit() {
    const { clientWidth, clientHeight } = this.stage;
    const { width, height } = this.before;
    this.fitted = true;
    this.scale = Math.min(clientWidth / width, clientHeight / height, LARGEST);
    this.x = (clientWidth - width * this.scale) / 2;
    this.y = (clientHeight - height * this.scale) / 2;
    this.draw();
  }

  /** @param {number} scale @param {{clientX: number, clientY: number}} [at] what stays where it is: the middle of the stage */
  zoom(scale, at) {
    const { left, top, width, height } = this.stage.getBoundingClientRect();
    const [x, y] = at ? [at.clientX - left, at.clientY - top] : [width / 2, height / 2];
    const least = Math.min(width / this.before.width, height / this.before.height, 1) / 2;
    const to = Math.min(Math.max(scale, least), LARGEST);
    this.x = x - ((x - this.x) * to) / this.scale;
    this.y = y - ((y - this.y) * to) / this.scale;
    this.scale = to;
    this.move(0, 0);
  }

  /** @param {number} dx @param {number} dy */
  move(dx, dy) {
    // Some of the picture stays in sight.
    const within = (/** @type {number} */ at, /** @type {number} */ size, /** @type {number} */ room) =>
      Math.min(Math.max(at, room / 2 - size * this.scale), room / 2);
    this.x = within(this.x + dx, this.before.width, this.stage.clientWidth);
    this.y = within(this.y + dy, this.before.height, this.stage.clientHeight);
    this.fitted = false;
    this.draw();
  }

  /** @param {number} share */
  divide(share) {
    this.share = Math.min(Math.max(share, 0), 100);
    this.divider.setAttribute('aria-valuenow', String(Math.round(this.share)));
    this.draw();
  }

  /** @private */
  draw() {
    for (const canvas of [this.before, this.after]) {
      canvas.style.transform = `translate(${this.x}px, ${this.y}px) scale(${this.scale})`;
      canvas.classList.toggle('close', this.scale * devicePixelRatio >= 2);
    }
    $('after-pane').style.clipPath = `inset(0 0 0 ${this.share}%)`;
    this.divider.style.left = `${this.share}%`;
    $('zoom').textContent = `${Math.round(this.scale * devicePixelRatio * 100)} %`;
  }
}
