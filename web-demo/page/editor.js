// @ts-check
// The dialog for changing a scenario and running the changed version.

import { byId } from './dom.js';

export class Editor {
  #dialog = /** @type {HTMLDialogElement} */ (byId('editor'));
  #source = /** @type {HTMLTextAreaElement} */ (byId('source'));
  #error = byId('editor-error');

  /** @param {(source: string) => Promise<string | null>} run returns the error in the source, or null */
  constructor(run) {
    const button = /** @type {HTMLButtonElement} */ (byId('editor-run'));
    button.addEventListener('click', async () => {
      button.disabled = true;
      const error = await run(this.#source.value);
      button.disabled = false;
      this.#error.textContent = error ?? '';
      this.#error.hidden = error === null;
      if (error === null) this.#dialog.close();
    });
  }

  /** @param {string} source */
  open(source) {
    this.#source.value = source;
    this.#error.hidden = true;
    this.#dialog.showModal();
  }
}
