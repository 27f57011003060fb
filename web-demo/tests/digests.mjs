// Prints "name seed digest" for runs of built-in scenarios in the browser's WebAssembly, in their order.
//
//   node digests.mjs --seeds A..B [--url URL | --dir DIR] [--chromium PATH] [SCENARIO...]
//
// The range of seeds has no B in it. Without a scenario, all of them. Without --url and --dir the page is built first.

import { parseArgs } from 'node:util';

import { OPTIONS, withBrowser } from './browser.mjs';

/** Runs in the page: two workers take turns at the list of runs. */
async function collect({ from, to, wanted }) {
  const { Laboratory } = await import('./lab.js');
  const names = (await new Laboratory().scenarios()).map(({ name }) => name);
  const unknown = wanted.find((name) => !names.includes(name));
  if (unknown !== undefined) throw new Error(`there is no scenario ${unknown}; there are ${names.join(', ')}`);
  const runs = [];
  for (const name of names.filter((name) => wanted.length === 0 || wanted.includes(name))) {
    for (let seed = BigInt(from); seed < BigInt(to); seed += 1n) runs.push({ name, seed: String(seed), digest: '' });
  }
  let next = 0;
  const work = async () => {
    const laboratory = new Laboratory();
    while (next < runs.length) {
      const run = runs[next];
      next += 1;
      run.digest = await laboratory.digest(run.name, run.seed);
    }
  };
  await Promise.all([work(), work()]);
  return runs.map(({ name, seed, digest }) => `${name} ${seed} ${digest}`);
}

const { values, positionals } = parseArgs({ options: { ...OPTIONS, seeds: { type: 'string' } }, allowPositionals: true });
const range = /^(\d+)\.\.(\d+)$/.exec(values.seeds ?? '');
if (range === null) {
  console.error('error: --seeds takes a range, as in --seeds 0..50');
  process.exit(2);
}
const lines = await withBrowser(values, async (browser, address) => {
  const page = await browser.newPage();
  await page.goto(address);
  return page.evaluate(collect, { from: range[1], to: range[2], wanted: positionals });
});
for (const line of lines) console.log(line);
