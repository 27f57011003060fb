// @ts-check
// What of the page's state the address carries: scenario, seed and moment, so that a link shares them.

/** @typedef {{scenario: string | null, seed: string | null, t: number | null}} Shared `t` in nanoseconds */

/** @returns {Shared} */
export function read() {
  const given = new URLSearchParams(location.search);
  const t = given.get('t');
  return {
    scenario: given.get('scenario'),
    seed: given.get('seed'),
    t: t !== null && /^\d{1,16}$/.test(t) ? Number(t) : null,
  };
}

/**
 * @param {Shared} shared
 * @param {boolean} [visit] whether going back in the browser should return to what was before
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
