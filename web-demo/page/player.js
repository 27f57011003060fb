// @ts-check
// The play head: the moment that is shown, and how it moves.

/** @typedef {import('./model.js').Model} Model */

/** Virtual seconds for one second of wall time, slowest first. */
export const SPEEDS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 60];
/** How long a typical datagram is on its way at the speed a run starts with, in wall seconds. */
const CROSSING_SECONDS = 1.1;
/** How long a stretch in which nothing is on its way takes when it is skipped, in wall seconds. */
const QUIET_SECONDS = 0.5;
/** A lost datagram's cross stays for this long, in wall seconds. */
const LINGER_SECONDS = 1;
/** With reduced motion, playing goes from one line of the story to the next, one in this many milliseconds. */
const PAGE_MS = 1200;

export class Player extends EventTarget {
  /** @type {Model | null} */
  model = null;
  /** The moment shown, in nanoseconds. */
  t = 0;
  /** The place in the trace of the last record that has happened; -1 before the first. */
  place = -1;
  playing = false;
  speed = 0.05;
  skipQuiet = true;
  /** Whether the play head is being rushed through a stretch in which nothing is on its way. */
  rushing = false;
  #lastFrame = 0;
  /** @type {{until: number, rate: number} | null} */
  #rush = null;
  #still = matchMedia('(prefers-reduced-motion: reduce)');

  /** @param {Model} model */
  load(model) {
    this.pause();
    this.model = model;
    const wanted = model.crossing / 1e9 / CROSSING_SECONDS;
    this.speed = SPEEDS.reduce((best, speed) =>
      Math.abs(Math.log(speed / wanted)) < Math.abs(Math.log(best / wanted)) ? speed : best,
    );
    this.dispatchEvent(new Event('pace'));
  }

  /** How long what has ended is still shown, in nanoseconds. */
  get linger() {
    return LINGER_SECONDS * this.speed * 1e9;
  }

  /** Whether the person asked their system for less motion. */
  get still() {
    return this.#still.matches;
  }

  /** @param {number} t */
  seek(t) {
    if (!this.model) return;
    this.t = Math.min(Math.max(0, t), this.model.end);
    this.place = this.model.placeAt(this.t);
    this.#rush = null;
    this.rushing = false;
    this.#changed();
  }

  /**
   * Goes to one record: of several in the same instant, to exactly that one.
   * @param {number} place
   */
  goTo(place) {
    if (!this.model) return;
    this.pause();
    const last = this.model.records.length - 1;
    this.place = Math.min(Math.max(-1, place), last);
    this.t = this.model.at[this.place] ?? 0;
    this.#rush = null;
    this.#changed();
  }

  /** @param {number} by how many records, backwards when negative */
  step(by) {
    this.goTo(this.place + by);
  }

  /** @param {number} by how many lines of the story, backwards when negative */
  stepStory(by) {
    if (!this.model) return;
    const line = this.model.storyAt(this.place) + by;
    const places = this.model.storyPlaces;
    if (line < 0) this.goTo(-1);
    else if (line < places.length) this.goTo(places[line]);
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
    if (this.still) this.#turnPage();
    else requestAnimationFrame((now) => this.#frame(now));
  }

  pause() {
    if (!this.playing) return;
    this.playing = false;
    this.rushing = false;
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
    // A tab that was in the background comes back where it was left, not minutes later.
    const elapsed = Math.min(now - this.#lastFrame, 100) / 1e3;
    this.#lastFrame = now;
    this.t = Math.min(this.#advanced(model, Math.max(0, elapsed)), model.end);
    this.place = model.placeAt(this.t);
    if (this.t >= model.end) this.pause();
    else {
      this.#changed();
      requestAnimationFrame((next) => this.#frame(next));
    }
  }

  /**
   * @param {Model} model
   * @param {number} elapsed wall seconds
   */
  #advanced(model, elapsed) {
    const pace = this.speed * 1e9;
    if (this.#rush && this.t >= this.#rush.until) this.#rush = null;
    if (this.skipQuiet && !this.#rush && model.motesBetween(this.t - this.linger, this.t).length === 0) {
      const until = model.nextStart(this.t);
      const rate = (until - this.t) / QUIET_SECONDS;
      if (rate > 2 * pace) this.#rush = { until, rate };
    }
    this.rushing = this.#rush !== null && this.skipQuiet;
    if (!this.#rush || !this.skipQuiet) return this.t + elapsed * pace;
    return Math.min(this.t + elapsed * this.#rush.rate, this.#rush.until);
  }

  #turnPage() {
    setTimeout(() => {
      const model = this.model;
      if (!this.playing || !model) return;
      const next = model.storyPlaces[model.storyAt(this.place) + 1];
      this.place = next ?? model.records.length - 1;
      this.t = next === undefined ? model.end : model.at[next];
      if (next === undefined) this.pause();
      else {
        this.#changed();
        this.#turnPage();
      }
    }, PAGE_MS);
  }
}
