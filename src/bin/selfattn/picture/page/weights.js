// Attention as it was packed: for each layer its heads and then their mean.

const { layers, heads, kept } = page.attention;
const packed = {
  weights: unpack(page.attention.weights),
  columns: page.attention.columns && integers(page.attention.columns),
  rest: unpack(page.attention.rest),
};
const place = (layer, head) => layer * (heads + 1) + head;
const headName = head => (head === heads ? `mean of ${heads} heads` : `head ${head}`);

// All weights of a head, row by row; 0 where they are too small to be kept.
const matrices = new Map();
function matrixOf(layer, head) {
  const at = place(layer, head);
  if (!matrices.has(at)) {
    // Few are looked at again: those drawn last are enough to remember.
    if (matrices.size >= 4) matrices.delete(matrices.keys().next().value);
    matrices.set(at, read16(at));
  }
  return matrices.get(at);
}

function read16(at) {
  const stored = packed.weights.subarray(at * n * kept, (at + 1) * n * kept);
  if (!packed.columns) return stored;
  const columns = packed.columns.subarray(at * n * kept, (at + 1) * n * kept);
  const whole = new Float32Array(n * n);
  stored.forEach((x, k) => { whole[Math.floor(k / kept) * n + columns[k]] = x; });
  return whole;
}

const shownMatrix = () => matrixOf(chosen.layer, chosen.head);
const rowOf = i => shownMatrix().subarray(i * n, (i + 1) * n);
const restOf = i => packed.rest[place(chosen.layer, chosen.head) * n + i];
// What went to words whose weights were too small to be kept.
const othersOf = i => (packed.columns ? Math.max(0, 1 - restOf(i) - rowOf(i).reduce((a, b) => a + b, 0)) : 0);

function largest(values) {
  return values.reduce((a, b) => Math.max(a, b), 0);
}

// The places of the largest values, largest first.
function ranked(values, count, wanted = () => true) {
  return Array.from(values.keys()).filter(wanted).sort((a, b) => values[b] - values[a]).slice(0, count);
}
