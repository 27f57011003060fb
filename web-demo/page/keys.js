// @ts-check
// Keyboard control: Space plays and pauses, the arrows step (with Shift along the story), Home and End go to the ends.

/**
 * @param {{toggle: () => void, step: (by: number) => void, stepStory: (by: number) => void, toStart: () => void, toEnd: () => void}} actions
 */
export function listenToKeys({ toggle, step, stepStory, toStart, toEnd }) {
  /** @type {Record<string, (shift: boolean) => void>} */
  const keys = {
    ' ': toggle,
    ArrowRight: (shift) => (shift ? stepStory(1) : step(1)),
    ArrowLeft: (shift) => (shift ? stepStory(-1) : step(-1)),
    Home: toStart,
    End: toEnd,
  };
  document.addEventListener('keydown', (event) => {
    const action = keys[event.key];
    if (!action || event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented) return;
    if (isUsedBy(/** @type {Element} */ (event.target), event.key)) return;
    event.preventDefault();
    action(event.shiftKey);
  });
}

/**
 * Returns true if the focused element uses the key itself.
 * @param {Element} target
 * @param {string} key
 */
function isUsedBy(target, key) {
  if (target.closest('dialog, textarea, select')) return true;
  if (target instanceof HTMLInputElement) return target.type !== 'range' && !(target.type === 'checkbox' && key !== ' ');
  return key === ' ' && target.closest('button, a') !== null;
}
