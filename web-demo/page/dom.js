// @ts-check
// Helpers for document elements.

/**
 * Returns the element with this id. A missing element is a mistake in the page's HTML, so it throws.
 * @template {Element} [T=HTMLElement]
 * @param {string} id
 * @returns {T}
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no element #${id}`);
  return /** @type {T} */ (/** @type {unknown} */ (element));
}

/**
 * Creates an element. Text is inserted as text and never as markup, because scenario names and texts of a run are data.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {{class?: string, text?: string, title?: string, onclick?: () => void}} [options]
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, options = {}, ...children) {
  const element = document.createElement(tag);
  if (options.class) element.className = options.class;
  if (options.text !== undefined) element.textContent = options.text;
  if (options.title) element.title = options.title;
  if (options.onclick) element.addEventListener('click', options.onclick);
  if (element instanceof HTMLButtonElement) element.type = 'button';
  element.append(...children);
  return element;
}
