// @ts-check
// Number formats for people.

/**
 * A virtual time in seconds, with milliseconds, or with microseconds if it is not a whole number of milliseconds.
 * @param {number} ns nanoseconds since the start of the run
 */
export function time(ns) {
  const fine = Math.round(ns) % 1e6 !== 0;
  return `${(ns / 1e9).toFixed(fine ? 6 : 3)} s`;
}

/**
 * A virtual time in seconds, always with milliseconds. A running clock uses it.
 * @param {number} ns
 */
export function clock(ns) {
  return `${(ns / 1e9).toFixed(3)} s`;
}

/**
 * A duration in s, ms or µs.
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
