// @ts-check
// The worker: it calls the WebAssembly module in a thread of its own and sends the result back.

import init, { digest, replayed_digest, run, run_source, scenarios } from './pkg/sandhog_web.js';

/** @type {Record<string, (...args: string[]) => string>} */
const methods = { digest, replayed_digest, run, run_source, scenarios };
const ready = init();

self.addEventListener('message', async ({ data: { id, method, args } }) => {
  try {
    await ready;
    self.postMessage({ id, result: methods[method](...args) });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    // After a trap the module's memory may be inconsistent. The page then starts a new worker.
    self.postMessage({ id, error: message, fatal: !(error instanceof Error) || error instanceof WebAssembly.RuntimeError });
  }
});
