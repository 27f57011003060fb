// @ts-check
// The two things every panel does with the document.

/**
 * The element with this id. The page's own HTML has it, so that its absence is a mistake worth an error.
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
 * A new element. Text goes in as text, never as markup: scenario names and the words of the run are data.
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
