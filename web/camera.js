// The camera, live: a frame is denoised and shown, then the next one is taken.

/** Width of frames, pixels: small enough to keep up. */
const WIDTH = 320;

export class Camera {
  /** @param {(frame: ImageBitmap) => void} give @param {(live: boolean) => void} changed @param {(message: string) => void} complain */
  constructor(give, changed, complain) {
    this.give = give;
    this.changed = changed;
    this.complain = complain;
    this.video = document.createElement('video');
    this.video.muted = this.video.playsInline = true;
    /** @type {MediaStream | null} */
    this.stream = null;
  }

  /** Begins, or ends. */
  async toggle() {
    if (this.stream) return this.stop();
    try {
      // Pages that came by http are given none.
      const stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: WIDTH } } });
      this.stop();
      this.stream = this.video.srcObject = stream;
      stream.getTracks().forEach((track) => (track.onended = () => this.stop()));
      await this.video.play();
      this.changed(true);
      await this.next();
    } catch (error) {
      this.stop();
      this.complain(`The browser gave no camera (${error instanceof Error ? error.message : error}). Allow it for this page, or choose photographs.`);
    }
  }

  /** Takes a frame, as long as the camera is on. */
  async next() {
    const { video } = this;
    const resizeHeight = Math.max(Math.round((WIDTH * video.videoHeight) / (video.videoWidth || 1)), 1);
    if (this.stream) this.give(await createImageBitmap(video, { resizeWidth: WIDTH, resizeHeight }));
  }

  stop() {
    if (!this.stream) return;
    this.stream.getTracks().forEach((track) => track.stop());
    this.stream = this.video.srcObject = null;
    this.changed(false);
  }
}
