// @ts-check
// Symbols of datagrams: in flight, duplicate, corrupted, lost.

import { REASONS } from './describe.js';
import { trace } from './palette.js';

/**
 * @typedef {import('./model.js').Flight} Flight
 * @typedef {import('./palette.js').Shape} Shape
 * @typedef {ReturnType<typeof import('./palette.js').readColours>} Colours
 */

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Colours} colours
 * @param {Flight} flight
 * @param {{shape: Shape, colour: number}} look
 * @param {number} x
 * @param {number} y
 */
export function drawDatagram(context, colours, flight, look, x, y) {
  const size = 5 + Math.min(3.5, Math.log2(1 + (flight.sent.len ?? 0)) / 3);
  if (flight.duplicate) {
    // A second, empty outline behind the symbol.
    trace(context, look.shape, x + 5, y - 5, size);
    context.lineWidth = 1.5;
    context.strokeStyle = colours.kinds[look.colour];
    context.stroke();
  }
  trace(context, look.shape, x, y, size);
  context.fillStyle = colours.kinds[look.colour];
  context.fill();
  context.lineWidth = 1.5;
  context.strokeStyle = colours.paper;
  context.stroke();
  if (flight.corrupted) {
    // A jagged line in the background colour.
    context.beginPath();
    for (let i = 0; i <= 4; i++) context.lineTo(x - size * 1.1 + (size * 2.2 * i) / 4, y + (i % 2 ? -3 : 3));
    context.lineWidth = 2;
    context.strokeStyle = colours.paper;
    context.stroke();
  }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Colours} colours
 * @param {number} x
 * @param {number} y
 * @param {string} reason
 */
export function drawLoss(context, colours, x, y, reason) {
  context.beginPath();
  context.moveTo(x - 6, y - 6);
  context.lineTo(x + 6, y + 6);
  context.moveTo(x + 6, y - 6);
  context.lineTo(x - 6, y + 6);
  context.strokeStyle = colours.lost;
  context.lineWidth = 3;
  context.stroke();
  context.fillStyle = colours.lost;
  context.font = '600 12px system-ui, sans-serif';
  context.textAlign = 'left';
  context.strokeStyle = colours.paper;
  context.strokeText(REASONS[reason] ?? reason, x + 12, y + 4);
  context.fillText(REASONS[reason] ?? reason, x + 12, y + 4);
}
