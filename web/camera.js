// The camera, live: a frame is denoised and shown, then the next one is taken.

/** Width of frames, pixels: small enough to keep up. */
const WIDTH = 320;

/** @param {MediaStream} stream */
function end(stream) {
  stream.getTracks().forEach((track) => track.stop());
}

export class Camera {
  /**
   * @param {(frame: ImageBitmap, run: number) => void} give @param {(run: number | null) => void} changed it runs, or has stopped
   * @param {(message: string) => void} complain
   */
  constructor(give, changed, complain) {
    this.give = give;
    this.changed = changed;
    this.complain = complain;
    this.video = document.createElement('video');
    this.video.muted = this.video.playsInline = true;
    /** Number of the run: what belongs to an earlier one is of no use. */
    this.run = 0;
    /** Whether it is asked for, or runs. */
    this.on = false;
    /** @type {MediaStream | null} */
    this.stream = null;
  }

  /** Begins, or ends. */
  async toggle() {
    if (this.on) return this.stop();
    const run = ++this.run;
    this.on = true;
    try {
      if (!navigator.mediaDevices) throw new Error('browsers give it to files and to pages by https alone');
      const stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: WIDTH } } });
      if (run !== this.run) return end(stream);
      this.stream = this.video.srcObject = stream;
      stream.getTracks().forEach((track) => (track.onended = () => this.fail(run, 'it was taken away')));
      await this.video.play();
      if (run !== this.run) return;
      this.changed(run);
      await this.next(run);
    } catch (error) {
      this.fail(run, error instanceof Error ? error.message : String(error));
    }
  }

  /** Takes the next frame, as long as that run goes on. @param {number} run */
  async next(run) {
    const { video } = this;
    try {
      if (run === this.run) await new Promise((seen) => video.requestVideoFrameCallback(seen));
      if (run !== this.run) return;
      const resizeHeight = Math.max(Math.round((WIDTH * video.videoHeight) / (video.videoWidth || 1)), 1);
      const frame = await createImageBitmap(video, { resizeWidth: WIDTH, resizeHeight });
      if (run === this.run) this.give(frame, run);
      else frame.close();
    } catch (error) {
      this.fail(run, error instanceof Error ? error.message : String(error));
    }
  }

  /** @private @param {number} run @param {string} message */
  fail(run, message) {
    if (run !== this.run) return;
    this.stop();
    this.complain(`There is no picture of a camera (${message}). Allow one for this page, or choose photographs.`);
  }

  stop() {
    if (!this.on) return;
    this.run++;
    this.on = false;
    if (this.stream) end(this.stream);
    this.stream = this.video.srcObject = null;
    this.changed(null);
  }
}
