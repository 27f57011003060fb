// @ts-check
// Binary search over ascending numbers. It keeps the page fast with a hundred thousand records.

/**
 * The number of leading values that are at most `limit`.
 * @param {ArrayLike<number>} ascending
 * @param {number} limit
 */
export function upTo(ascending, limit) {
  let low = 0;
  let high = ascending.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ascending[middle] <= limit) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * The number of leading values that are below `limit`.
 * @param {ArrayLike<number>} ascending
 * @param {number} limit
 */
export function below(ascending, limit) {
  let low = 0;
  let high = ascending.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ascending[middle] < limit) low = middle + 1;
    else high = middle;
  }
  return low;
}
