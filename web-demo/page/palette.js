// @ts-check
// Colour and shape of each kind of datagram. Kinds differ in both, so colour vision is not needed.

/** @typedef {'square' | 'diamond' | 'circle' | 'triangle' | 'hexagon'} Shape */

/** Number of colours in the style sheet. */
const COLOURS = 5;
/** Shapes of kinds that are not in the table. @type {Shape[]} */
const SHAPES = ['diamond', 'square', 'circle', 'triangle', 'hexagon'];

/**
 * The kinds of the two profiles look the same in every run. Many requests share a colour with their reply and differ in shape.
 * The circle is for user data.
 * @type {Record<string, [Shape, number]>}
 */
const KNOWN = {
  data: ['circle', 2],
  'auth-request': ['diamond', 0],
  'auth-response': ['square', 1],
  login: ['diamond', 0],
  cookie: ['square', 0],
  'login-cookie': ['diamond', 1],
  ke2: ['square', 1],
  ke3: ['diamond', 3],
  settings: ['square', 3],
  refused: ['square', 4],
  ping: ['triangle', 4],
  pong: ['hexagon', 4],
  rekey: ['triangle', 0],
  rekeyed: ['hexagon', 0],
  bye: ['diamond', 4],
  prove1: ['triangle', 1],
  prove2: ['hexagon', 1],
  prove3: ['triangle', 2],
  reg2: ['hexagon', 2],
  reg3: ['triangle', 3],
  'reg-ok': ['hexagon', 3],
};

/** @param {string[]} kinds of the run. Kinds of no profile get colour and shape in order of appearance. */
export function looksFor(kinds) {
  const others = kinds.filter((kind) => !(kind in KNOWN));
  const known = Object.entries(KNOWN).map(([kind, [shape, colour]]) => /** @type {const} */ ([kind, { shape, colour }]));
  const look = (/** @type {number} */ i) => ({ shape: SHAPES[(i + Math.floor(i / COLOURS)) % SHAPES.length], colour: i % COLOURS });
  return new Map([...known, ...others.map((kind, i) => /** @type {const} */ ([kind, look(i)]))]);
}

/** The colours of the style sheet, for the canvas. */
export function readColours() {
  const style = getComputedStyle(document.documentElement);
  const colour = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
  return {
    kinds: Array.from({ length: COLOURS }, (_, i) => colour(`--kind-${i}`)),
    ink: colour('--ink'),
    soft: colour('--soft'),
    line: colour('--line'),
    pipe: colour('--pipe'),
    paper: colour('--card'),
    lost: colour('--lost'),
    accent: colour('--accent'),
  };
}

/**
 * Adds a shape to the current path.
 * @param {CanvasRenderingContext2D} context
 * @param {Shape} shape
 * @param {number} x
 * @param {number} y
 * @param {number} r
 */
export function trace(context, shape, x, y, r) {
  context.beginPath();
  if (shape === 'circle') context.arc(x, y, r, 0, 2 * Math.PI);
  else if (shape === 'square') context.roundRect(x - r * 0.9, y - r * 0.9, r * 1.8, r * 1.8, r * 0.3);
  else {
    const corners = { diamond: 4, triangle: 3, hexagon: 6 }[shape];
    for (let i = 0; i < corners; i++) {
      const angle = (i / corners) * 2 * Math.PI - Math.PI / 2;
      context.lineTo(x + Math.cos(angle) * r * 1.2, y + Math.sin(angle) * r * 1.2);
    }
    context.closePath();
  }
}
