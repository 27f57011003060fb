// @ts-check
// The lower part of the picture: a sequence diagram in which time runs downwards past the line that marks now. What is above
// the line has happened; what is below it, faint, is still to come.

import { REASONS } from './describe.js';
import { clock } from './format.js';

/**
 * @typedef {import('./model.js').Model} Model
 * @typedef {import('./model.js').Mote} Mote
 * @typedef {{context: CanvasRenderingContext2D, model: Model, layout: import('./stage.js').Layout,
 *   looks: ReturnType<typeof import('./palette.js').looksFor>, colours: ReturnType<typeof import('./palette.js').readColours>,
 *   selected: Mote | null, t: number, speed: number}} Scene
 */

/** How many wall seconds of playing the diagram shows from top to bottom. */
const SECONDS_SHOWN = 4.5;
/** Where the line of now stands, as a share of the diagram's height. */
const NOW_AT = 0.7;
/** More lines than this are thinned out. */
const LINES_AT_ONCE = 400;
/** Up to so many datagrams carry their name. */
const NAMED_AT_ONCE = 40;

/** @param {Scene} scene */
export function drawLadder(scene) {
  const { context, layout, t, speed } = scene;
  const top = layout.ladder;
  const height = layout.height - top;
  if (height < 60) return;
  const shown = SECONDS_SHOWN * speed * 1e9;
  const yOf = (/** @type {number} */ at) => top + height * (NOW_AT + (at - t) / shown);
  drawLifelines(scene);
  context.save();
  context.beginPath();
  context.rect(0, top, layout.width, height);
  context.clip();
  drawGrid(scene, yOf, shown);
  drawLines(scene, yOf, t - NOW_AT * shown, t + (1 - NOW_AT) * shown);
  drawNow(scene, yOf(t));
  context.restore();
}

/**
 * @param {Scene} scene
 * @param {(at: number) => number} yOf
 * @param {number} shown
 */
function drawGrid({ context, layout, colours, model, t }, yOf, shown) {
  const rough = shown / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough) ?? rough;
  context.font = '11px ui-monospace, monospace';
  context.textAlign = 'left';
  context.fillStyle = colours.soft;
  context.strokeStyle = colours.line;
  context.lineWidth = 1;
  for (let at = Math.max(0, Math.ceil((t - shown) / step) * step); at <= Math.min(model.end, t + shown); at += step) {
    const y = Math.round(yOf(at)) + 0.5;
    context.beginPath();
    context.moveTo(0, y);
    context.lineTo(layout.width, y);
    context.stroke();
    context.fillText(clock(at), 8, y - 4);
  }
}

/**
 * @param {Scene} scene
 */
function drawLifelines({ context, layout, colours }) {
  context.strokeStyle = colours.soft;
  context.globalAlpha = 0.6;
  context.lineWidth = 1.5;
  for (const x of layout.columns.values()) {
    context.beginPath();
    context.moveTo(x, layout.rowY);
    context.lineTo(x, layout.height);
    context.stroke();
  }
  context.globalAlpha = 1;
}

/**
 * @param {Scene} scene
 * @param {(at: number) => number} yOf
 * @param {number} from
 * @param {number} to
 */
function drawLines(scene, yOf, from, to) {
  const motes = scene.model.motesBetween(from, to);
  const stride = Math.ceil(motes.length / LINES_AT_ONCE);
  // Among many, each line gives way a little, so that their pattern shows and not one flat colour.
  const strength = Math.min(1, Math.max(0.22, 60 / Math.min(motes.length, LINES_AT_ONCE)));
  const roomy = motes.length <= NAMED_AT_ONCE && scene.layout.width > 480;
  /** @type {Map<string, number>} the height of the last name at each host, so that names do not cover each other */
  const named = new Map();
  motes.forEach((mote, i) => {
    if (i % stride !== 0 && mote.lostAt === null && mote !== scene.selected) return;
    drawLine(scene, mote, yOf, roomy, strength);
    const y = yOf(mote.start);
    if (!roomy || mote.duplicate || mote.start > scene.t || y - (named.get(mote.from) ?? -Infinity) < 13) return;
    named.set(mote.from, y);
    drawName(scene, mote, y);
  });
}

/**
 * @param {Scene} scene
 * @param {Mote} mote
 * @param {(at: number) => number} yOf
 * @param {boolean} roomy whether there is room for words
 * @param {number} strength of the line, up to 1
 */
function drawLine({ context, layout, looks, colours, selected, t }, mote, yOf, roomy, strength) {
  const x0 = layout.columns.get(mote.from) ?? 0;
  const x1 = layout.columns.get(mote.to) ?? x0;
  const y0 = yOf(mote.start);
  const reach = mote.lostAt ?? 1;
  const x2 = x0 + (x1 - x0) * reach;
  const y2 = yOf(mote.finish);
  const past = Math.min(1, Math.max(0, (t - mote.start) / Math.max(1, mote.finish - mote.start)));
  const colour = colours.kinds[looks.get(mote.kind)?.colour ?? 0];
  const xNow = x0 + (x2 - x0) * past;
  const yNow = y0 + (y2 - y0) * past;
  context.strokeStyle = colour;
  context.setLineDash(mote.corrupted ? [6, 4] : mote.duplicate ? [2, 4] : []);
  context.lineWidth = mote === selected ? 3.5 : strength < 0.5 ? 1.25 : 1.75;
  const weight = mote === selected ? 1 : strength;
  if (t > mote.start) stroke(context, x0, y0, xNow, yNow, 0.9 * weight);
  if (past < 1) stroke(context, xNow, yNow, x2, y2, 0.18 * weight);
  context.setLineDash([]);
  context.globalAlpha = mote.lostAt === null ? weight * (past < 1 ? 0.18 : 1) : past < 1 ? 0.18 : 1;
  if (mote.lostAt === null) drawHead(context, x2, y2, x2 - x0, y2 - y0, colour);
  else drawCross(context, x2, y2, colours.lost);
  if (roomy && mote.lostAt !== null && t >= mote.finish) {
    context.fillStyle = colours.lost;
    context.font = '600 11px system-ui, sans-serif';
    context.textAlign = 'center';
    context.fillText(REASONS[mote.reason] ?? mote.reason, x2, y2 + 18);
  }
  context.globalAlpha = 1;
}

/**
 * @param {Scene} scene
 * @param {Mote} mote
 * @param {number} y
 */
function drawName({ context, layout, colours }, mote, y) {
  const x = layout.columns.get(mote.from) ?? 0;
  const ahead = (layout.columns.get(mote.to) ?? x) > x ? -1 : 1;
  context.font = '11px system-ui, sans-serif';
  context.textAlign = ahead > 0 ? 'left' : 'right';
  context.fillStyle = colours.soft;
  context.fillText(`${mote.kind} ${mote.sent.nth ?? ''}`, x + ahead * 9, y + 4);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} x0
 * @param {number} y0
 * @param {number} x1
 * @param {number} y1
 * @param {number} alpha
 */
function stroke(context, x0, y0, x1, y1, alpha) {
  context.globalAlpha = alpha;
  context.beginPath();
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
  context.stroke();
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} x
 * @param {number} y
 * @param {number} dx
 * @param {number} dy
 * @param {string} colour
 */
function drawHead(context, x, y, dx, dy, colour) {
  const angle = Math.atan2(dy, dx);
  context.fillStyle = colour;
  context.beginPath();
  context.moveTo(x, y);
  context.lineTo(x - 8 * Math.cos(angle - 0.4), y - 8 * Math.sin(angle - 0.4));
  context.lineTo(x - 8 * Math.cos(angle + 0.4), y - 8 * Math.sin(angle + 0.4));
  context.fill();
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} x
 * @param {number} y
 * @param {string} colour
 */
function drawCross(context, x, y, colour) {
  context.strokeStyle = colour;
  context.lineWidth = 2.5;
  context.beginPath();
  context.moveTo(x - 5, y - 5);
  context.lineTo(x + 5, y + 5);
  context.moveTo(x + 5, y - 5);
  context.lineTo(x - 5, y + 5);
  context.stroke();
}

/**
 * @param {Scene} scene
 * @param {number} y
 */
function drawNow({ context, layout, colours }, y) {
  context.strokeStyle = colours.accent;
  context.lineWidth = 1.5;
  context.beginPath();
  context.moveTo(0, y);
  context.lineTo(layout.width, y);
  context.stroke();
  context.fillStyle = colours.accent;
  context.font = '600 11px system-ui, sans-serif';
  context.textAlign = 'right';
  context.fillText('now', layout.width - 8, y - 4);
}
