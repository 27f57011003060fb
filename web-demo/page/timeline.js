// @ts-check
// The time line: the play head, the traffic over time, and the losses.

import { time } from './format.js';
import { readColours } from './palette.js';

/** @typedef {import('./model.js').Model} Model */

/** Number of columns in the picture of the traffic. */
const COLUMNS = 240;

export class Timeline {
  /** @type {Model | null} */
  #model = null;
  #sent = new Float64Array(COLUMNS);
  #lost = new Float64Array(COLUMNS);

  /**
   * @param {HTMLInputElement} input
   * @param {HTMLCanvasElement} canvas
   * @param {(t: number) => void} onSeek
   */
  constructor(input, canvas, onSeek) {
    this.input = input;
    this.canvas = canvas;
    input.addEventListener('input', () => onSeek(Number(input.value)));
    new ResizeObserver(() => this.#paint()).observe(canvas);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#paint());
  }

  /** @param {Model} model */
  load(model) {
    this.#model = model;
    this.input.max = String(model.end);
    this.input.disabled = false;
    this.#sent.fill(0);
    this.#lost.fill(0);
    for (const flight of model.flights) {
      this.#sent[column(flight.start, model.end)]++;
      if (flight.lostAt !== null) this.#lost[column(flight.finish, model.end)]++;
    }
    this.#paint();
  }

  /** @param {number} t */
  show(t) {
    this.input.value = String(t);
    this.input.setAttribute('aria-valuetext', time(t));
  }

  #paint() {
    const { canvas } = this;
    const ratio = Math.min(devicePixelRatio || 1, 2);
    const { clientWidth: width, clientHeight: height } = canvas;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    const context = canvas.getContext('2d');
    if (!context || !this.#model) return;
    context.scale(ratio, ratio);
    const colours = readColours();
    const most = Math.log1p(Math.max(...this.#sent, 1));
    const wide = width / COLUMNS;
    const base = height - 7;
    for (let i = 0; i < COLUMNS; i++) {
      if (this.#sent[i] > 0) {
        const tall = 3 + (base - 4) * (Math.log1p(this.#sent[i]) / most);
        context.globalAlpha = 0.4;
        context.fillStyle = colours.soft;
        context.fillRect(i * wide, base - tall, Math.max(1, wide - 0.75), tall);
        context.globalAlpha = 1;
      }
      if (this.#lost[i] > 0) {
        context.fillStyle = colours.lost;
        context.fillRect(i * wide, base + 2, Math.max(2, wide), 4);
      }
    }
  }
}

/**
 * @param {number} at
 * @param {number} end
 */
function column(at, end) {
  return Math.min(COLUMNS - 1, Math.floor((at / Math.max(1, end)) * COLUMNS));
}
