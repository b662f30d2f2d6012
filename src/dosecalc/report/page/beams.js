// Beam's-eye views: jaws, leaves and targets at one control point, seen from the source.

const BEV_MARGIN_MM = 25;
const SIDES = [["L", "R"], ["P", "A"], ["H", "F"]];

/** Half the width of the view, mm: all that any control point opens, and a margin. */
function bevReach(beam) {
  let reach = 40;
  for (const point of beam.points) {
    for (const jaws of point.jaws) if (jaws) reach = Math.max(reach, ...jaws.map(Math.abs));
    if (point.leaves && !(point.jaws[0] && point.jaws[1])) {
      reach = Math.max(reach, ...openLeaves(beam, point).flat().map(Math.abs));
    }
  }
  return reach + BEV_MARGIN_MM;
}

/** Corners of the open leaf pairs: [along low, along high, across low, across high]. */
function openLeaves(beam, point) {
  return point.leaves[0]
    .map((low, k) => [low, point.leaves[1][k], beam.boundaries[k], beam.boundaries[k + 1]])
    .filter(([low, high]) => high - low > 0.5);
}

/** Position (x, y) of a point of the patient in the isocentre plane, collimator axes. */
function projected(point, beam, state) {
  const [u, v, w] = state.axes;
  const from = point.map((value, k) => value - state.isocentre[k]);
  const along = (axis) => from[0] * axis[0] + from[1] * axis[1] + from[2] * axis[2];
  const larger = beam.sad / (beam.sad + along(w));
  return [along(u) * larger, along(v) * larger];
}

/** Outline targets: every slab is drawn thick and dark first, then filled light over it. */
function drawTargets(context, targets, beam, state, place) {
  const faces = [];
  for (const target of targets) {
    for (const { slab, points } of target.contours) {
      const rings = slab.map((height) =>
        points.map(([x, y]) => place(projected([x, y, height], beam, state))));
      faces.push(...rings);
      rings[0].forEach((corner, k) => {
        const next = (k + 1) % points.length;
        faces.push([corner, rings[0][next], rings[1][next], rings[1][k]]);
      });
    }
  }
  const paths = faces.map((corners) => {
    const path = new Path2D();
    corners.forEach((corner, k) => path[k ? "lineTo" : "moveTo"](...corner));
    path.closePath();
    return path;
  });
  [context.strokeStyle, context.lineWidth, context.fillStyle] = ["#b3123a", 7, "#ffd9d9"];
  paths.forEach((path) => context.stroke(path));
  paths.forEach((path) => {
    context.fill(path);
    [context.strokeStyle, context.lineWidth] = ["#ffd9d9", 1];
    context.stroke(path);
  });
}

/** Grey leaves with the edges of every pair; the leaves travel along x or y. */
function drawLeaves(context, beam, state, box, reach) {
  if (!state.leaves) return;
  const turned = beam.axis === "y";
  const rectangle = (a0, a1, c0, c1) => (turned ? box(c0, c1, a0, a1) : box(a0, a1, c0, c1));
  state.leaves[0].forEach((low, k) => {
    const [from, to] = [beam.boundaries[k], beam.boundaries[k + 1]];
    for (const [tip0, tip1] of [[-reach, low], [state.leaves[1][k], reach]]) {
      const drawn = rectangle(tip0, tip1, from, to);
      context.fillStyle = "rgb(120 130 140 / 70%)";
      context.fillRect(...drawn);
      [context.strokeStyle, context.lineWidth] = ["#333", 1.5];
      context.strokeRect(...drawn);
    }
  });
}

/** Cross-hatch what the jaws cover, and draw their edges. */
function drawJaws(context, state, box, size, reach) {
  const [x, y] = state.jaws.map((jaws) => jaws ?? [-reach, reach]);
  const open = box(x[0], x[1], y[0], y[1]);
  context.save();
  const covered = new Path2D();
  covered.rect(0, 0, size, size);
  covered.rect(...open);
  context.clip(covered, "evenodd");
  [context.strokeStyle, context.lineWidth] = ["rgb(20 60 120 / 45%)", 1.5];
  context.beginPath();
  for (let k = -size; k < 2 * size; k += 22) {
    context.moveTo(k, 0);
    context.lineTo(k + size, size);
    context.moveTo(k + size, 0);
    context.lineTo(k, size);
  }
  context.stroke();
  context.restore();
  [context.strokeStyle, context.lineWidth] = ["#143c78", 5];
  context.strokeRect(...open);
}

/** Lines every 50 mm with their millimetres, and the side of the patient that each edge shows. */
function drawBevFrame(context, state, place, size, reach) {
  [context.textAlign, context.textBaseline, context.font] = ["center", "middle", "22px sans-serif"];
  const write = (text, x, y, colour = "#111") => {
    [context.strokeStyle, context.lineWidth, context.fillStyle] = ["#fff", 6, colour];
    context.strokeText(text, x, y);
    context.fillText(text, x, y);
  };
  for (let mm = -50 * Math.floor(reach / 50); mm <= reach; mm += 50) {
    const [x, y] = place([mm, mm]);
    context.lineWidth = mm === 0 ? 2 : 0.7;
    context.strokeStyle = "#555";
    context.beginPath();
    context.moveTo(x, 0);
    context.lineTo(x, size);
    context.moveTo(0, y);
    context.lineTo(size, y);
    context.stroke();
    write(`${mm}`, x, size - 16);
    if (mm) write(`${mm}`, 30, y);
  }
  context.font = "bold 30px sans-serif";
  const [u, v] = state.axes;
  write(sideOf(u, 1), size - 34, size / 2 - 30);
  write(sideOf(u, -1), 34, size / 2 - 30);
  write(sideOf(v, 1), size / 2 + 34, 26);
  write(sideOf(v, -1), size / 2 + 34, size - 52);
  context.font = "bold 24px sans-serif";
  write("X", size - 34, size / 2 + 26, "#143c78");
  write("Y", size / 2 - 30, 26, "#143c78");
}

/** Letters of the side that a direction points to, the nearest first. */
function sideOf(direction, sign) {
  return direction
    .map((part, axis) => [Math.abs(part), SIDES[axis][part * sign > 0 ? 0 : 1]])
    .filter(([size]) => size > 0.3)
    .sort((a, b) => b[0] - a[0])
    .map(([, letter]) => letter)
    .join("");
}

function drawBeam(canvas, beam, state, targets) {
  const context = canvas.getContext("2d");
  const size = canvas.width;
  const reach = bevReach(beam);
  const scale = size / (2 * reach);
  const place = ([x, y]) => [size / 2 + x * scale, size / 2 - y * scale];
  const box = (x0, x1, y0, y1) => [...place([x0, y1]), (x1 - x0) * scale, (y1 - y0) * scale];
  context.fillStyle = "#fff";
  context.fillRect(0, 0, size, size);
  drawTargets(context, targets, beam, state, place);
  drawLeaves(context, beam, state, box, 2 * reach);
  drawJaws(context, state, box, size, reach);
  drawBevFrame(context, state, place, size, reach);
}
