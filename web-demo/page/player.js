// @ts-check
// The player: the current time of the shown run, and playback.

/** @typedef {import('./model.js').Model} Model */

/** Playback speeds in virtual seconds per second of real time, slowest first. */
export const SPEEDS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 60];
/** Real time in seconds for the transit of a typical datagram at the initial speed. */
const TRANSIT_SECONDS = 1.1;
/** Real time in seconds in which playback passes a skipped idle period. */
const IDLE_SECONDS = 0.5;
/** Real time in seconds for which the cross of a lost datagram stays visible. */
const LINGER_SECONDS = 1;
/** Milliseconds per story line when the system asks for reduced motion: playback then goes from line to line. */
const LINE_MS = 1200;

export class Player extends EventTarget {
  /** @type {Model | null} */
  model = null;
  /** The current virtual time in nanoseconds. */
  t = 0;
  /** The position of the current record in the trace; -1 before the first. */
  position = -1;
  playing = false;
  speed = 0.05;
  skipQuiet = true;
  /** True while playback passes an idle period, in which no datagram is in flight. */
  skipping = false;
  #lastFrame = 0;
  /** @type {{until: number, rate: number} | null} */
  #skip = null;
  #reducedMotion = matchMedia('(prefers-reduced-motion: reduce)');

  /** @param {Model} model */
  load(model) {
    this.pause();
    this.model = model;
    const wanted = model.transit / 1e9 / TRANSIT_SECONDS;
    this.speed = SPEEDS.reduce((best, speed) =>
      Math.abs(Math.log(speed / wanted)) < Math.abs(Math.log(best / wanted)) ? speed : best,
    );
    this.dispatchEvent(new Event('pace'));
  }

  /** Virtual time in nanoseconds for which a lost datagram stays visible. */
  get linger() {
    return LINGER_SECONDS * this.speed * 1e9;
  }

  /** True if the system asks for reduced motion. */
  get reducedMotion() {
    return this.#reducedMotion.matches;
  }

  /** @param {number} t */
  seek(t) {
    if (!this.model) return;
    this.t = Math.min(Math.max(0, t), this.model.end);
    this.position = this.model.positionAt(this.t);
    this.#skip = null;
    this.skipping = false;
    this.#changed();
  }

  /**
   * Goes to one record. The position identifies it, even if several records have the same time.
   * @param {number} position
   */
  goTo(position) {
    if (!this.model) return;
    this.pause();
    const last = this.model.records.length - 1;
    this.position = Math.min(Math.max(-1, position), last);
    this.t = this.model.at[this.position] ?? 0;
    this.#skip = null;
    this.#changed();
  }

  /** @param {number} by number of records; negative goes back */
  step(by) {
    this.goTo(this.position + by);
  }

  /** @param {number} by number of story lines; negative goes back */
  stepStory(by) {
    if (!this.model) return;
    const line = this.model.storyAt(this.position) + by;
    const positions = this.model.storyPositions;
    if (line < 0) this.goTo(-1);
    else if (line < positions.length) this.goTo(positions[line]);
    else this.seek(this.model.end);
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  play() {
    if (!this.model || this.playing) return;
    if (this.t >= this.model.end) this.seek(0);
    this.playing = true;
    this.#lastFrame = performance.now();
    this.dispatchEvent(new Event('play'));
    if (this.reducedMotion) this.#showNextLine();
    else requestAnimationFrame((now) => this.#frame(now));
  }

  pause() {
    if (!this.playing) return;
    this.playing = false;
    this.skipping = false;
    this.dispatchEvent(new Event('pause'));
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event('change'));
  }

  /** @param {number} now */
  #frame(now) {
    const model = this.model;
    if (!this.playing || !model) return;
    // A tab in the background gets no frames. When it returns, playback continues and does not jump.
    const elapsed = Math.min(now - this.#lastFrame, 100) / 1e3;
    this.#lastFrame = now;
    this.t = Math.min(this.#advanced(model, Math.max(0, elapsed)), model.end);
    this.position = model.positionAt(this.t);
    if (this.t >= model.end) this.pause();
    else {
      this.#changed();
      requestAnimationFrame((next) => this.#frame(next));
    }
  }

  /**
   * @param {Model} model
   * @param {number} elapsed real time in seconds
   */
  #advanced(model, elapsed) {
    const pace = this.speed * 1e9;
    if (this.#skip && this.t >= this.#skip.until) this.#skip = null;
    if (this.skipQuiet && !this.#skip && model.flightsBetween(this.t - this.linger, this.t).length === 0) {
      const until = model.nextStart(this.t);
      const rate = (until - this.t) / IDLE_SECONDS;
      if (rate > 2 * pace) this.#skip = { until, rate };
    }
    this.skipping = this.#skip !== null && this.skipQuiet;
    if (!this.#skip || !this.skipQuiet) return this.t + elapsed * pace;
    return Math.min(this.t + elapsed * this.#skip.rate, this.#skip.until);
  }

  #showNextLine() {
    setTimeout(() => {
      const model = this.model;
      if (!this.playing || !model) return;
      const next = model.storyPositions[model.storyAt(this.position) + 1];
      this.position = next ?? model.records.length - 1;
      this.t = next === undefined ? model.end : model.at[next];
      if (next === undefined) this.pause();
      else {
        this.#changed();
        this.#showNextLine();
      }
    }, LINE_MS);
  }
}
