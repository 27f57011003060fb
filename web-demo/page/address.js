// @ts-check
// The page's address: scenario, seed and time, so that a link shares them.

/** @typedef {{scenario: string | null, seed: string | null, t: number | null}} Shared `t` in nanoseconds */

/** @returns {Shared} */
export function read() {
  const parameters = new URLSearchParams(location.search);
  const t = parameters.get('t');
  return {
    scenario: parameters.get('scenario'),
    seed: parameters.get('seed'),
    t: t !== null && /^\d{1,16}$/.test(t) ? Number(t) : null,
  };
}

/**
 * @param {Shared} shared
 * @param {boolean} [visit] true to add an entry to the browser's history
 */
export function write({ scenario, seed, t }, visit = false) {
  const wanted = new URLSearchParams();
  if (scenario !== null) wanted.set('scenario', scenario);
  if (seed !== null) wanted.set('seed', seed);
  if (t !== null) wanted.set('t', String(Math.round(t)));
  if (wanted.toString() === location.search.slice(1)) return;
  const address = `${location.pathname}?${wanted}`;
  if (visit) history.pushState(null, '', address);
  else history.replaceState(null, '', address);
}
