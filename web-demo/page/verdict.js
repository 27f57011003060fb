// @ts-check
// The result of the run, its digest, and messages while there is no run.

import { byId } from './dom.js';

export class Verdict {
  #outcome = byId('outcome');
  #digest = /** @type {HTMLButtonElement} */ (byId('digest'));
  #notice = byId('notice');
  #toast = byId('toast');
  #fullDigest = '';
  #toastTimer = 0;

  constructor() {
    this.#digest.addEventListener('click', () => this.#copy(this.#fullDigest, 'Digest copied'));
    byId('share').addEventListener('click', () => this.#copy(location.href, 'Link copied'));
  }

  /**
   * @param {string} what the name of the scenario
   * @param {boolean} behind true if an earlier run stays visible behind the message
   */
  running(what, behind) {
    this.#state('waiting', 'Running…');
    this.say(`Running ${what}…`, behind);
  }

  /** @param {import('./model.js').Page} page */
  show(page) {
    this.#state(page.passed ? 'passed' : 'failed', page.passed ? 'Passed' : 'Failed');
    this.#outcome.title = page.outcome;
    this.#fullDigest = page.digest;
    this.#digest.disabled = false;
    this.#digest.dataset.digest = page.digest;
    this.#digest.textContent = `${page.digest.slice(0, 12)}…`;
    this.#digest.setAttribute('aria-label', `Digest ${page.digest}, copy`);
  }

  /**
   * @param {string} message
   * @param {boolean} behind true if an earlier run stays visible behind the message
   */
  failed(message, behind) {
    this.#state('failed', 'Not run');
    this.#digest.textContent = '–';
    this.#digest.disabled = true;
    delete this.#digest.dataset.digest;
    this.say(message, behind);
  }

  /**
   * Shows a message over the picture. An empty message removes it.
   * @param {string} message
   * @param {boolean} [behind]
   */
  say(message, behind = false) {
    this.#notice.textContent = message;
    this.#notice.classList.toggle('overlay', behind);
    this.#notice.hidden = message === '';
  }

  /**
   * @param {string} state
   * @param {string} text
   */
  #state(state, text) {
    this.#outcome.dataset.state = state;
    this.#outcome.textContent = text;
  }

  /**
   * @param {string} text
   * @param {string} done
   */
  async #copy(text, done) {
    let message = done;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      message = text;
    }
    this.#toast.textContent = message;
    this.#toast.classList.add('shown');
    clearTimeout(this.#toastTimer);
    this.#toastTimer = window.setTimeout(() => this.#toast.classList.remove('shown'), 2500);
  }
}
