// @ts-check
// Numbers as a person reads them.

/**
 * A virtual time in seconds, to the millisecond, or finer where it does not fall on one.
 * @param {number} ns nanoseconds since the start of the run
 */
export function time(ns) {
  const fine = Math.round(ns) % 1e6 !== 0;
  return `${(ns / 1e9).toFixed(fine ? 6 : 3)} s`;
}

/**
 * A virtual time to the millisecond, whatever it is: for a clock that runs.
 * @param {number} ns
 */
export function clock(ns) {
  return `${(ns / 1e9).toFixed(3)} s`;
}

/**
 * A span of time with the unit that suits it.
 * @param {number} ns
 */
export function span(ns) {
  if (ns >= 1e9) return `${trim(ns / 1e9)} s`;
  if (ns >= 1e6) return `${trim(ns / 1e6)} ms`;
  return `${trim(ns / 1e3)} µs`;
}

/** @param {number} value */
function trim(value) {
  return String(Number(value.toPrecision(3)));
}

/** @param {number} value */
export function count(value) {
  return value.toLocaleString('en');
}

/**
 * @param {number} n
 * @param {string} word
 */
export function plural(n, word) {
  return `${count(n)} ${word}${n === 1 ? '' : 's'}`;
}
