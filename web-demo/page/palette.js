// @ts-check
// What a datagram looks like: a colour and a shape for each kind, so that neither has to be told apart alone.

/** @typedef {'square' | 'diamond' | 'circle' | 'triangle' | 'hexagon'} Shape */

/** @type {Shape[]} */
const SHAPES = ['diamond', 'square', 'circle', 'triangle', 'hexagon'];
/** The kinds of the classic profile keep their looks in every run; others take what is free, in order of appearance. */
const KNOWN = ['auth-request', 'auth-response', 'data'];

/** @param {string[]} kinds of the run */
export function looksFor(kinds) {
  const all = [...KNOWN, ...kinds.filter((kind) => !KNOWN.includes(kind))];
  return new Map(all.map((kind, i) => [kind, { shape: SHAPES[i % SHAPES.length], colour: i % SHAPES.length }]));
}

/** The style sheet's colours, for the canvas. */
export function readColours() {
  const style = getComputedStyle(document.documentElement);
  const colour = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
  return {
    kinds: SHAPES.map((_, i) => colour(`--kind-${i}`)),
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
