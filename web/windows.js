// Where strips lie, as src/denoise/windows.rs and budget.rs have it.

/**
 * What a network sees along an axis: from `start` on; `from` to `to` of the picture is kept.
 * @typedef {{start: number, from: number, to: number}} Window
 */

/** Mirror image of a place beyond the end of `size` pixels; the edge is not doubled. @param {number} at @param {number} size */
export function reflect(at, size) {
  const period = Math.max(2 * size - 2, 1);
  const inside = at % period;
  return inside < size ? inside : period - inside;
}

/** @param {number} n @param {number} multiple */
export function nextMultiple(n, multiple) {
  return Math.ceil(n / multiple) * multiple;
}

/**
 * Windows of `tile` pixels whose kept parts make up `size` pixels. They begin at multiples of `multiple`, and what is kept is `overlap`
 * pixels away from their inner edges.
 * @param {number} size @param {number} tile @param {number} overlap @param {number} multiple @returns {Window[]}
 */
export function windows(size, tile, overlap, multiple) {
  /** @type {Window[]} */
  const list = [];
  let start = 0;
  let from = 0;
  for (;;) {
    const end = start + tile;
    const to = end >= size ? size : end - overlap;
    list.push({ start, from, to });
    if (to === size) return list;
    from = to;
    start = Math.min(Math.floor((to - overlap) / multiple) * multiple, size - tile);
  }
}

/**
 * Strips of `rows` rows down a picture of `height`, whose results are `lag` rows behind: the first ones keep nothing.
 * @param {number} height @param {number} rows @param {number} lag @returns {Window[]}
 */
export function stripsDown(height, rows, lag) {
  const behind = (/** @type {number} */ row) => Math.min(Math.max(row - lag, 0), height);
  const count = Math.ceil((height + lag) / rows);
  return Array.from({ length: count }, (_, i) => ({ start: i * rows, from: behind(i * rows), to: behind((i + 1) * rows) }));
}

/**
 * The columns of strips that take the least work for a picture of `width` pixels, padded: those of its own width, or several side by side.
 * @param {number[]} ladder columns that there are plans for, in order @param {number} width @param {number} overlap @param {number} multiple
 */
export function fittingColumns(ladder, width, overlap, multiple) {
  const work = (/** @type {number} */ columns) => windows(width, columns, overlap, multiple).length * columns;
  const beside = ladder.filter((columns) => columns >= 2 * overlap + multiple && columns < width);
  return ladder.find((columns) => columns === width) ?? beside.reduce((best, columns) => (work(columns) <= work(best) ? columns : best));
}
