// @ts-check
// The laboratory's own thread: takes a question, asks the WebAssembly module, and sends the answer back.

import init, { digest, run, run_source, scenarios } from './pkg/sandhog_web.js';

/** @type {Record<string, (...given: string[]) => string>} */
const questions = { digest, run, run_source, scenarios };
const ready = init();

self.addEventListener('message', async ({ data: { id, question, given } }) => {
  try {
    await ready;
    self.postMessage({ id, answer: questions[question](...given) });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    // After a trap the module's memory can no longer be trusted; the page starts another worker.
    self.postMessage({ id, error: message, broken: !(error instanceof Error) || error instanceof WebAssembly.RuntimeError });
  }
});
