// Drives the page in a headless browser through everything it promises.
//
//   node page.mjs [--url URL | --dir DIR] [--chromium PATH] [--digest HEX] [--only TEXT] [--screenshot FILE]
//
// HEX is the native digest of first-light with seed 7; without it, the committed one is taken. --only runs the behaviours whose
// names have TEXT in them. --screenshot writes a picture of a run half-way instead. Without --url and --dir the page is built
// first. Exit 0: all as it should be. 1: it is not, and the lines above say what.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { behaviours } from './behaviours.mjs';
import { OPTIONS, ROOT, withBrowser } from './browser.mjs';

/** The digest that a native run had when it was committed. */
async function committedDigest() {
  const lines = (await readFile(join(ROOT, 'tests/golden/digests.txt'), 'utf8')).split('\n');
  const line = lines.find((line) => line.startsWith('first-light 7 '));
  if (line === undefined) throw new Error('tests/golden/digests.txt has no first-light with seed 7');
  return line.split(' ')[2];
}

/** Runs one behaviour in a tab of its own; answers what went wrong, or null. */
async function tryOne(browser, address, behaviour, digest) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  const complaints = [];
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('request', (request) => request.url().startsWith(address) || complaints.push(`asked for ${request.url()}`));
  try {
    await behaviour(page, { address, digest });
    return complaints.length > 0 ? `the browser complained: ${complaints.join('; ')}` : null;
  } catch (error) {
    return error.message;
  } finally {
    await context.close();
  }
}

/** Runs the behaviours; answers how many failed. */
async function tryAll(browser, address, digest, only) {
  const chosen = Object.entries(behaviours).filter(([name]) => name.includes(only));
  let failed = 0;
  for (const [name, behaviour] of chosen) {
    const wrong = await tryOne(browser, address, behaviour, digest);
    if (wrong !== null) failed += 1;
    console.log(wrong === null ? `ok    ${name}` : `FAIL  ${name}\n      ${wrong.replaceAll('\n', '\n      ')}`);
  }
  console.log(`${chosen.length - failed} passed, ${failed} failed`);
  return failed;
}

/** A picture of first-light in the middle of its download, 1280 x 800. */
async function takeScreenshot(browser, address, file) {
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 }, colorScheme: 'light' });
  const open = async (t) => {
    await page.goto(`${address}?scenario=first-light&seed=7&t=${t}`);
    await page.waitForSelector('#outcome[data-state="passed"]');
  };
  await open(0);
  const end = await page.$eval('#scrub', (input) => Number(input.max));
  await open(Math.round(end * 0.45));
  await page.keyboard.press('ArrowRight');
  await page.screenshot({ path: file });
}

const options = {
  ...OPTIONS,
  digest: { type: 'string' },
  only: { type: 'string', default: '' },
  screenshot: { type: 'string' },
};
const { values } = parseArgs({ options });
const failed = await withBrowser(values, async (browser, address) => {
  if (values.screenshot === undefined) return tryAll(browser, address, values.digest ?? (await committedDigest()), values.only);
  await takeScreenshot(browser, address, values.screenshot);
  return 0;
});
process.exitCode = failed > 0 ? 1 : 0;
