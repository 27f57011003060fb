#!/usr/bin/env node
// Runner of a test binary for WASI in headless Chromium: `wasi.mjs MODULE.wasm [FILTER]...`
//
// Cargo starts it in place of `tests/wasi/runner.mjs` if `CARGO_TARGET_WASM32_WASIP1_RUNNER` names it. Each test runs in an
// instance of its own, because a panic in WebAssembly ends the instance. The tests must not use files.
// Exit 0: passed. 101: a test failed, with its output. 2: wrong arguments.

import { basename, dirname } from 'node:path';

import { OPTIONS, withBrowser } from './browser.mjs';

/** Runs the chosen tests in the page. Returns the name, the exit status and the output of each. */
async function runInPage({ module: url, filters }) {
  const SUCCESS = 0;
  const BAD_DESCRIPTOR = 8;
  const UNSUPPORTED = 52;
  const TRAPPED = 134;
  const module = await WebAssembly.compileStreaming(fetch(url));

  /** The functions of WASI (preview 1) that a test binary needs. The others return an error. */
  const functions = (args, print, memory) => {
    const view = () => new DataView(memory().buffer);
    const bytes = (at, length) => new Uint8Array(memory().buffer, at, length);
    const texts = args.map((arg) => new TextEncoder().encode(`${arg}\0`));
    const sizes = (count, length) => (countAt, lengthAt) => {
      view().setUint32(countAt, count, true);
      view().setUint32(lengthAt, length, true);
      return SUCCESS;
    };
    const known = {
      args_sizes_get: sizes(
        texts.length,
        texts.reduce((sum, text) => sum + text.length, 0),
      ),
      args_get(pointersAt, textsAt) {
        let at = textsAt;
        for (const [index, text] of texts.entries()) {
          view().setUint32(pointersAt + 4 * index, at, true);
          bytes(at, text.length).set(text);
          at += text.length;
        }
        return SUCCESS;
      },
      environ_sizes_get: sizes(0, 0),
      environ_get: () => SUCCESS,
      clock_time_get(clock, precision, timeAt) {
        view().setBigUint64(timeAt, BigInt(Math.round(performance.now() * 1e6)), true);
        return SUCCESS;
      },
      random_get(at, length) {
        crypto.getRandomValues(bytes(at, length));
        return SUCCESS;
      },
      sched_yield: () => SUCCESS,
      fd_prestat_get: () => BAD_DESCRIPTOR,
      fd_write(descriptor, partsAt, count, writtenAt) {
        let written = 0;
        for (let part = partsAt; part < partsAt + 8 * count; part += 8) {
          const length = view().getUint32(part + 4, true);
          print(bytes(view().getUint32(part, true), length).slice());
          written += length;
        }
        view().setUint32(writtenAt, written, true);
        return SUCCESS;
      },
      proc_exit(status) {
        throw { status };
      },
    };
    return new Proxy(known, { get: (target, name) => target[name] ?? (() => UNSUPPORTED) });
  };

  /** Runs the program once. */
  const run = async (...args) => {
    const decoder = new TextDecoder();
    let output = '';
    let instance = null;
    const print = (part) => (output += decoder.decode(part, { stream: true }));
    const wasi_snapshot_preview1 = functions(['tests', ...args], print, () => instance.exports.memory);
    instance = await WebAssembly.instantiate(module, { wasi_snapshot_preview1 });
    try {
      instance.exports._start();
      return { status: SUCCESS, output };
    } catch (error) {
      if (typeof error.status === 'number') return { status: error.status, output };
      return { status: TRAPPED, output: `${output}${error}\n` };
    }
  };

  const listed = await run(...filters, '--list', '--format=terse');
  if (listed.status !== SUCCESS) throw new Error(`cannot list the tests:\n${listed.output}`);
  const results = [];
  for (const [, name] of listed.output.matchAll(/^(.+): test$/gm)) {
    results.push({ name, ...(await run('--exact', name, '--nocapture')) });
  }
  return results;
}

const [path, ...filters] = process.argv.slice(2);
if (path === undefined) {
  console.error('usage: wasi.mjs MODULE.wasm [FILTER]...');
  process.exit(2);
}

const results = await withBrowser({ dir: dirname(path), chromium: OPTIONS.chromium.default }, async (browser, address) => {
  const page = await browser.newPage();
  // An empty page in front of the folder of the module.
  await page.route(address, (route) => route.fulfill({ contentType: 'text/html', body: '' }));
  await page.goto(address);
  return page.evaluate(runInPage, { module: `${address}${basename(path)}`, filters });
});
let failed = 0;
for (const { name, status, output } of results) {
  console.log(`test ${name} ... ${status === 0 ? 'ok' : `FAILED\n${output}`}`);
  failed += status === 0 ? 0 : 1;
}
// A filter that matches nothing would pass without a test.
const isGood = failed === 0 && results.length > 0;
console.log(`\ntest result in the browser: ${isGood ? 'ok' : 'FAILED'}. ${results.length - failed} passed; ${failed} failed\n`);
process.exitCode = isGood ? 0 : 101;
