// @ts-check
// The page's side of the worker: questions as promises.

/**
 * @typedef {{name: string, title: string, about: string, source: string}} Scenario
 * @typedef {{resolve: (answer: string) => void, reject: (error: Error) => void}} Waiting
 */

/** A question was dropped because a newer one replaced it. */
export class Superseded extends Error {}

export class Laboratory {
  /** @type {Worker | null} */
  #worker = null;
  /** @type {Map<number, Waiting>} */
  #waiting = new Map();
  #asked = 0;

  /** @returns {Promise<Scenario[]>} the built-in scenarios */
  async scenarios() {
    return JSON.parse(await this.#ask('scenarios'));
  }

  /**
   * Runs a built-in scenario. An earlier run that has not finished is stopped.
   * @param {string} name
   * @param {string} seed
   * @returns {Promise<import('./model.js').Page>}
   */
  async run(name, seed) {
    this.#stopBusy();
    return JSON.parse(await this.#ask('run', name, seed));
  }

  /**
   * Runs a scenario given as TOML.
   * @param {string} source
   * @param {string} seed
   * @returns {Promise<import('./model.js').Page>}
   */
  async runSource(source, seed) {
    this.#stopBusy();
    return JSON.parse(await this.#ask('run_source', source, seed));
  }

  /**
   * The digest of a run, without the rest.
   * @param {string} name
   * @param {string} seed
   */
  digest(name, seed) {
    return this.#ask('digest', name, seed);
  }

  /**
   * @param {string} question
   * @param {string[]} given
   * @returns {Promise<string>}
   */
  #ask(question, ...given) {
    const worker = (this.#worker ??= this.#start());
    const id = ++this.#asked;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      worker.postMessage({ id, question, given });
    });
  }

  #start() {
    const worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
    worker.addEventListener('message', ({ data }) => {
      const waiting = this.#waiting.get(data.id);
      this.#waiting.delete(data.id);
      if (data.error === undefined) waiting?.resolve(data.answer);
      else waiting?.reject(new Error(data.error));
      if (data.broken) this.#stop(new Error(data.error));
    });
    worker.addEventListener('error', (event) => {
      this.#stop(new Error(event.message || 'the laboratory could not be loaded'));
    });
    return worker;
  }

  #stopBusy() {
    if (this.#waiting.size > 0) this.#stop(new Superseded('a newer run was asked for'));
  }

  /** @param {Error} reason what those who still wait are told */
  #stop(reason) {
    this.#worker?.terminate();
    this.#worker = null;
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { reject } of waiting) reject(reason);
  }
}
