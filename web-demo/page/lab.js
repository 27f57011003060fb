// @ts-check
// The client of the worker: calls that return promises.

/**
 * @typedef {{name: string, title: string, about: string, source: string}} Scenario
 * @typedef {{resolve: (result: string) => void, reject: (error: Error) => void}} Pending
 */

/** The error of a call that a newer call has replaced. */
export class Superseded extends Error {}

export class Laboratory {
  /** @type {Worker | null} */
  #worker = null;
  /** @type {Map<number, Pending>} */
  #pending = new Map();
  #calls = 0;

  /** @returns {Promise<Scenario[]>} the built-in scenarios */
  async scenarios() {
    return JSON.parse(await this.#call('scenarios'));
  }

  /**
   * Runs a built-in scenario. An unfinished earlier run is stopped.
   * @param {string} name
   * @param {string} seed
   * @returns {Promise<import('./model.js').Page>}
   */
  async run(name, seed) {
    this.#stopBusy();
    return JSON.parse(await this.#call('run', name, seed));
  }

  /**
   * Runs a scenario given as TOML.
   * @param {string} source
   * @param {string} seed
   * @returns {Promise<import('./model.js').Page>}
   */
  async runSource(source, seed) {
    this.#stopBusy();
    return JSON.parse(await this.#call('run_source', source, seed));
  }

  /**
   * The digest of a run.
   * @param {string} name
   * @param {string} seed
   */
  digest(name, seed) {
    return this.#call('digest', name, seed);
  }

  /**
   * The digest of the replay of a recorded run.
   * @param {string} name
   * @param {string} seed
   */
  replayedDigest(name, seed) {
    return this.#call('replayed_digest', name, seed);
  }

  /**
   * @param {string} method
   * @param {string[]} args
   * @returns {Promise<string>}
   */
  #call(method, ...args) {
    const worker = (this.#worker ??= this.#start());
    const id = ++this.#calls;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      worker.postMessage({ id, method, args });
    });
  }

  #start() {
    const worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
    worker.addEventListener('message', ({ data }) => {
      const call = this.#pending.get(data.id);
      this.#pending.delete(data.id);
      if (data.error === undefined) call?.resolve(data.result);
      else call?.reject(new Error(data.error));
      if (data.fatal) this.#stop(new Error(data.error));
    });
    worker.addEventListener('error', (event) => {
      this.#stop(new Error(event.message || 'cannot load the simulator'));
    });
    return worker;
  }

  #stopBusy() {
    if (this.#pending.size > 0) this.#stop(new Superseded('a newer run was started'));
  }

  /** @param {Error} reason the error of all pending calls */
  #stop(reason) {
    this.#worker?.terminate();
    this.#worker = null;
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject } of pending) reject(reason);
  }
}
