// The digests of runs of built-in scenarios, as the browser's WebAssembly computes them.

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

/** Prints `name seed digest` for the wanted scenarios, all if none is named, and the seeds from `from` up to, without, `to`. */
export async function printDigests(browser, address, from, to, wanted) {
  const page = await browser.newPage();
  await page.goto(address);
  for (const line of await page.evaluate(collect, { from, to, wanted })) console.log(line);
}
