// @ts-check
// The dialog in which a scenario can be changed before it is run.

import { byId } from './dom.js';

export class Editor {
  #dialog = /** @type {HTMLDialogElement} */ (byId('editor'));
  #source = /** @type {HTMLTextAreaElement} */ (byId('source'));
  #error = byId('editor-error');

  /** @param {(source: string) => Promise<string | null>} run answers what is wrong with the source, or null */
  constructor(run) {
    const button = /** @type {HTMLButtonElement} */ (byId('editor-run'));
    button.addEventListener('click', async () => {
      button.disabled = true;
      const wrong = await run(this.#source.value);
      button.disabled = false;
      this.#error.textContent = wrong ?? '';
      this.#error.hidden = wrong === null;
      if (wrong === null) this.#dialog.close();
    });
  }

  /** @param {string} source */
  open(source) {
    this.#source.value = source;
    this.#error.hidden = true;
    this.#dialog.showModal();
  }
}
