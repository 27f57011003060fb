// @ts-check
// The sequence diagram below the hosts. Time runs downwards. Above the line "now" is the past; below it, faint, is the future.

import { REASONS } from './describe.js';
import { clock } from './format.js';

/**
 * @typedef {import('./model.js').Model} Model
 * @typedef {import('./model.js').Flight} Flight
 * @typedef {{context: CanvasRenderingContext2D, model: Model, layout: import('./stage.js').Layout,
 *   looks: ReturnType<typeof import('./palette.js').looksFor>, colours: ReturnType<typeof import('./palette.js').readColours>,
 *   selected: Flight | null, t: number, speed: number}} Scene
 */

/** Height of the diagram in seconds of real time while it plays. */
const SECONDS_SHOWN = 4.5;
/** Position of the line "now", as a share of the diagram's height. */
const NOW_AT = 0.7;
/** Maximum number of lines. If there are more, only some are drawn. */
const LINES_AT_ONCE = 400;
/** Maximum number of datagrams for which names are drawn. */
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
  const flights = scene.model.flightsBetween(from, to);
  const stride = Math.ceil(flights.length / LINES_AT_ONCE);
  // Many lines are drawn fainter, so that their pattern is visible and not a single area of colour.
  const strength = Math.min(1, Math.max(0.22, 60 / Math.min(flights.length, LINES_AT_ONCE)));
  const roomy = flights.length <= NAMED_AT_ONCE && scene.layout.width > 480;
  /** @type {Map<string, number>} y of the last name at each host, so that names do not overlap */
  const named = new Map();
  flights.forEach((flight, i) => {
    if (i % stride !== 0 && flight.lostAt === null && flight !== scene.selected) return;
    drawLine(scene, flight, yOf, roomy, strength);
    const y = yOf(flight.start);
    if (!roomy || flight.duplicate || flight.start > scene.t || y - (named.get(flight.from) ?? -Infinity) < 13) return;
    named.set(flight.from, y);
    drawName(scene, flight, y);
  });
}

/**
 * @param {Scene} scene
 * @param {Flight} flight
 * @param {(at: number) => number} yOf
 * @param {boolean} roomy true if there is space for text
 * @param {number} strength opacity of the line, up to 1
 */
function drawLine({ context, layout, looks, colours, selected, t }, flight, yOf, roomy, strength) {
  const x0 = layout.columns.get(flight.from) ?? 0;
  const x1 = layout.columns.get(flight.to) ?? x0;
  const y0 = yOf(flight.start);
  const reach = flight.lostAt ?? 1;
  const x2 = x0 + (x1 - x0) * reach;
  const y2 = yOf(flight.finish);
  const past = Math.min(1, Math.max(0, (t - flight.start) / Math.max(1, flight.finish - flight.start)));
  const colour = colours.kinds[looks.get(flight.kind)?.colour ?? 0];
  const xNow = x0 + (x2 - x0) * past;
  const yNow = y0 + (y2 - y0) * past;
  context.strokeStyle = colour;
  context.setLineDash(flight.corrupted ? [6, 4] : flight.duplicate ? [2, 4] : []);
  context.lineWidth = flight === selected ? 3.5 : strength < 0.5 ? 1.25 : 1.75;
  const weight = flight === selected ? 1 : strength;
  if (t > flight.start) stroke(context, x0, y0, xNow, yNow, 0.9 * weight);
  if (past < 1) stroke(context, xNow, yNow, x2, y2, 0.18 * weight);
  context.setLineDash([]);
  context.globalAlpha = flight.lostAt === null ? weight * (past < 1 ? 0.18 : 1) : past < 1 ? 0.18 : 1;
  if (flight.lostAt === null) drawHead(context, x2, y2, x2 - x0, y2 - y0, colour);
  else drawCross(context, x2, y2, colours.lost);
  if (roomy && flight.lostAt !== null && t >= flight.finish) {
    context.fillStyle = colours.lost;
    context.font = '600 11px system-ui, sans-serif';
    context.textAlign = 'center';
    context.fillText(REASONS[flight.reason] ?? flight.reason, x2, y2 + 18);
  }
  context.globalAlpha = 1;
}

/**
 * @param {Scene} scene
 * @param {Flight} flight
 * @param {number} y
 */
function drawName({ context, layout, colours }, flight, y) {
  const x = layout.columns.get(flight.from) ?? 0;
  const ahead = (layout.columns.get(flight.to) ?? x) > x ? -1 : 1;
  context.font = '11px system-ui, sans-serif';
  context.textAlign = ahead > 0 ? 'left' : 'right';
  context.fillStyle = colours.soft;
  context.fillText(`${flight.kind} ${flight.sent.nth ?? ''}`, x + ahead * 9, y + 4);
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
