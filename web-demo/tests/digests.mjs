// Digests of runs of built-in scenarios, computed by WebAssembly in the browser.

/** Computes the digests of all runs in the page, with two workers. */
async function collect({ from, to, wanted, replays }) {
  const { Laboratory } = await import('./lab.js');
  const names = (await new Laboratory().scenarios()).map(({ name }) => name);
  const unknown = wanted.find((name) => !names.includes(name));
  if (unknown !== undefined) throw new Error(`there is no scenario ${unknown}; the scenarios are ${names.join(', ')}`);
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
      const compute = replays ? laboratory.replayedDigest : laboratory.digest;
      run.digest = await compute.call(laboratory, run.name, run.seed);
    }
  };
  await Promise.all([work(), work()]);
  return runs.map(({ name, seed, digest }) => `${name} ${seed} ${digest}`);
}

/**
 * Prints `name seed digest` for the wanted scenarios (all if the list is empty) and the seeds `from` to `to` - 1. With `replays`,
 * each run is recorded, and the digest is that of the replay.
 */
export async function printDigests(browser, address, { from, to, scenarios: wanted, replays }) {
  const page = await browser.newPage();
  await page.goto(address);
  for (const line of await page.evaluate(collect, { from, to, wanted, replays })) console.log(line);
}
