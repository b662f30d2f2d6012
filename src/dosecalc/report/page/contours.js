// Lines of equal value by marching squares, joined end to end so that dashes run through.

// Edges of a cell: 0 below, 1 right, 2 above, 3 left. For each of the 16 patterns of corners
// above the level (bits: 1 lower left, 2 lower right, 4 upper right, 8 upper left) the pairs
// of edges that a line joins.
const JOINED = [
  [], [[3, 0]], [[0, 1]], [[3, 1]], [[1, 2]], [[3, 0], [1, 2]], [[0, 2]], [[3, 2]],
  [[2, 3]], [[2, 0]], [[0, 1], [2, 3]], [[2, 1]], [[1, 3]], [[1, 0]], [[0, 3]], [],
];

/** Contour lines of a plane in mm: a list of lists of [across, along]. */
function contourLines(plane, level) {
  const ends = new Map();
  const points = new Map();
  for (let v = 0; v + 1 < plane.height; v++) {
    for (let u = 0; u + 1 < plane.width; u++) {
      for (const pair of pairsOfCell(plane, u, v, level)) {
        const [a, b] = pair.map((edge) => edgeKey(plane, u, v, edge));
        for (const [key, edge] of [[a, pair[0]], [b, pair[1]]]) {
          if (!points.has(key)) points.set(key, crossing(plane, u, v, edge, level));
        }
        link(ends, a, b);
        link(ends, b, a);
      }
    }
  }
  return chains(ends).map((keys) => keys.map((key) => points.get(key)));
}

function pairsOfCell(plane, u, v, level) {
  const { width, values } = plane;
  const i = v * width + u;
  const corners = [values[i], values[i + 1], values[i + width + 1], values[i + width]];
  let pattern = 0;
  for (let k = 0; k < 4; k++) {
    if (!Number.isFinite(corners[k])) return [];
    if (corners[k] >= level) pattern |= 1 << k;
  }
  return JOINED[pattern];
}

/** A number for a cell's edge that its neighbour gives to the same edge. */
function edgeKey(plane, u, v, edge) {
  const cell = v * plane.width + u;
  if (edge === 0) return 2 * cell;
  if (edge === 2) return 2 * (cell + plane.width);
  return edge === 3 ? 2 * cell + 1 : 2 * (cell + 1) + 1;
}

function crossing(plane, u, v, edge, level) {
  const upright = edge === 1 || edge === 3;
  const u0 = edge === 1 ? u + 1 : u;
  const v0 = edge === 2 ? v + 1 : v;
  const first = plane.values[v0 * plane.width + u0];
  const second = plane.values[(upright ? v0 + 1 : v0) * plane.width + (upright ? u0 : u0 + 1)];
  const share = (level - first) / (second - first);
  const place = upright ? [u0, v0 + share] : [u0 + share, v0];
  return place.map((index, k) => plane.origin[k] + index * plane.spacing[k]);
}

function link(ends, from, to) {
  const list = ends.get(from);
  if (list) list.push(to);
  else ends.set(from, [to]);
}

/** Walk along links: first the open lines, from their ends, then the closed ones. */
function chains(ends) {
  const found = [];
  const open = [...ends.keys()].filter((key) => ends.get(key).length === 1);
  for (const start of [...open, ...ends.keys()]) {
    const chain = [start];
    for (let at = start; ends.get(at).length; ) {
      const next = ends.get(at).pop();
      const back = ends.get(next);
      back.splice(back.indexOf(at), 1);
      chain.push(next);
      at = next;
    }
    if (chain.length > 1) found.push(chain);
  }
  return found;
}
