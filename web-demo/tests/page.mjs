// Tests of the page in a headless browser.
//
//   node page.mjs [PAGE] [--digest HEX] [--only TEXT]       all tests, or those with TEXT in the name
//   node page.mjs [PAGE] --digests FROM TO [SCENARIO...]    prints "name seed digest" for each run, TO excluded
//   With --replays, each of these runs is recorded, and the digest is that of the replay.
//   node page.mjs [PAGE] --screenshot FILE                  a picture of a run halfway
//
// PAGE is --url URL or --dir DIR. Without it the page is built and served first. HEX is the native digest of first-light with
// seed 7. Without it, the committed digest is used. --chromium PATH is for a browser that is not on the PATH.
// Exit 0: passed. 1: failed, with the reasons in the output. 2: wrong arguments.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { behaviours } from './behaviours.mjs';
import { OPTIONS, ROOT, withBrowser } from './browser.mjs';
import { printDigests } from './digests.mjs';

/** The committed digest of a native run. */
async function committedDigest() {
  const lines = (await readFile(join(ROOT, 'tests/golden/digests.txt'), 'utf8')).split('\n');
  const line = lines.find((line) => line.startsWith('first-light 7 '));
  if (line === undefined) throw new Error('tests/golden/digests.txt has no first-light with seed 7');
  return line.split(' ')[2];
}

/** Runs one test in a new tab. Returns the error message, or null. */
async function tryOne(browser, address, behaviour, digest) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  const errors = [];
  page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('request', (request) => request.url().startsWith(address) || errors.push(`request to ${request.url()}`));
  try {
    await behaviour(page, { address, digest });
    return errors.length > 0 ? `the browser reports errors: ${errors.join('; ')}` : null;
  } catch (error) {
    return error.message;
  } finally {
    await context.close();
  }
}

/** Runs the tests. Returns the number of failures. */
async function tryAll(browser, address, digest, only) {
  const chosen = Object.entries(behaviours).filter(([name]) => name.includes(only));
  let failed = 0;
  for (const [name, behaviour] of chosen) {
    const error = await tryOne(browser, address, behaviour, digest);
    if (error !== null) failed += 1;
    console.log(error === null ? `ok    ${name}` : `FAIL  ${name}\n      ${error.replaceAll('\n', '\n      ')}`);
  }
  console.log(`${chosen.length - failed} passed, ${failed} failed`);
  return failed;
}

/** Writes a picture of first-light during its download, 1280 x 800 pixels. */
async function takeScreenshot(browser, address, file) {
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 }, colorScheme: 'light' });
  await page.goto(`${address}?scenario=first-light&seed=7&t=1729000000`);
  await page.waitForSelector('#outcome[data-state="passed"]');
  await page.keyboard.press('ArrowRight');
  await page.screenshot({ path: file });
}

const options = {
  ...OPTIONS,
  digest: { type: 'string' },
  digests: { type: 'boolean', default: false },
  replays: { type: 'boolean', default: false },
  only: { type: 'string', default: '' },
  screenshot: { type: 'string' },
};

/** Reads the arguments. Wrong arguments end the script with a message. */
function readArguments() {
  try {
    const { values, positionals } = parseArgs({ options, allowPositionals: true });
    const [from, to, ...scenarios] = positionals;
    if (values.digests && !(/^\d+$/.test(from) && /^\d+$/.test(to))) throw new Error('--digests takes two seeds, FROM and TO');
    if (values.replays && !values.digests) throw new Error('--replays needs --digests');
    if (!values.digests && positionals.length > 0) throw new Error(`unexpected argument ${from}`);
    return { ...values, from, to, scenarios };
  } catch (error) {
    console.error(`error: ${error.message}`);
    return process.exit(2);
  }
}

/** Runs the chosen command. Returns the number of failures. */
async function work(browser, address) {
  if (given.digests) await printDigests(browser, address, given);
  else if (given.screenshot !== undefined) await takeScreenshot(browser, address, given.screenshot);
  else return tryAll(browser, address, given.digest ?? (await committedDigest()), given.only);
  return 0;
}

const given = readArguments();
process.exitCode = (await withBrowser(given, work)) > 0 ? 1 : 0;
