// One plane with everything that is drawn on it.

// normal, across, along: axes 0 x, 1 y, 2 z. Axial planes show y downwards (seen from the
// feet), the others z upwards, as DICOM viewers do. Letters: left, right, top, bottom.
const VIEWS = {
  axial: { normal: 2, across: 0, along: 1, up: false, letters: ["R", "L", "A", "P"] },
  coronal: { normal: 1, across: 0, along: 2, up: true, letters: ["R", "L", "H", "F"] },
  sagittal: { normal: 0, across: 1, along: 2, up: true, letters: ["A", "P", "H", "F"] },
};
const WINDOWS = { soft: [-160, 240], lung: [-1350, 150], bone: [-200, 1300], wide: [-1000, 1000], density: [0, 2] };
const SCALE_MM = 50;

/** Where millimetres of a plane lie on its canvas, in CSS pixels. */
function layoutOf(view, grid, point, zoom, width) {
  const sides = [view.across, view.along].map((axis) => {
    const low = grid.origin[axis] - grid.spacing[axis] / 2;
    const full = grid.spacing[axis] * grid.shape[2 - axis];
    const shown = full / zoom;
    const start = Math.min(Math.max(point[axis] - shown / 2, low), low + full - shown);
    return [start, shown];
  });
  const [[a, wide], [b, high]] = sides;
  const scale = width / wide;
  const y = view.up ? (mm) => (b + high - mm) * scale : (mm) => (mm - b) * scale;
  return {
    scale,
    width,
    height: high * scale,
    place: ([across, along]) => [(across - a) * scale, y(along)],
    back: (px, py) => [a + px / scale, view.up ? b + high - py / scale : b + py / scale],
  };
}

/** A picture of a plane of values; `colour` fills red, green, blue, alpha (0 to 255). */
function pictureOf(plane, colour) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [plane.width, plane.height];
  const context = canvas.getContext("2d");
  const image = context.createImageData(plane.width, plane.height);
  for (let i = 0; i < plane.values.length; i++) colour(plane.values[i], image.data, 4 * i);
  context.putImageData(image, 0, 0);
  return canvas;
}

/** Draw a picture of a plane where it belongs, upside down where rows rise on the canvas. */
function putPicture(context, layout, view, plane, picture, smooth) {
  const [dx, dy] = plane.spacing;
  const low = [plane.origin[0] - dx / 2, plane.origin[1] - dy / 2];
  const [x, y] = layout.place(low);
  context.save();
  context.imageSmoothingEnabled = smooth;
  context.imageSmoothingQuality = "high";
  context.translate(x, y);
  context.scale(layout.scale * dx, layout.scale * dy * (view.up ? -1 : 1));
  context.drawImage(picture, 0, 0, plane.width, plane.height);
  context.restore();
}

function strokeLines(context, layout, lines, { colour, width, dash = [], halo = null }) {
  context.lineJoin = "round";
  context.beginPath();
  for (const line of lines) {
    line.forEach((point, k) => context[k ? "lineTo" : "moveTo"](...layout.place(point)));
  }
  if (halo) {
    context.setLineDash([]);
    [context.strokeStyle, context.lineWidth] = [halo, width + 1.6];
    context.stroke();
  }
  context.setLineDash(dash);
  [context.strokeStyle, context.lineWidth] = [colour, width];
  context.stroke();
  context.setLineDash([]);
}

/** Words that do not cover one another: each is put at the first of its places that is free. */
class Labels {
  constructor(context, layout) {
    [this.context, this.layout, this.taken] = [context, layout, []];
  }

  put(text, places, { size = 11, colour = "#fff", halo = "#000", bold = false } = {}) {
    const context = this.context;
    context.font = `${bold ? "bold " : ""}${size}px sans-serif`;
    const half = [context.measureText(text).width / 2 + 2, size / 2 + 2];
    for (const [x, y] of places) {
      const box = [x - half[0], y - half[1], x + half[0], y + half[1]];
      const inside = box[0] >= 0 && box[1] >= 0 && box[2] <= this.layout.width && box[3] <= this.layout.height;
      const free = this.taken.every((t) => box[2] < t[0] || box[0] > t[2] || box[3] < t[1] || box[1] > t[3]);
      if (!inside || !free) continue;
      this.taken.push(box);
      [context.textAlign, context.textBaseline, context.lineJoin] = ["center", "middle", "round"];
      [context.strokeStyle, context.lineWidth, context.fillStyle] = [halo, 3, colour];
      context.strokeText(text, x, y);
      context.fillText(text, x, y);
      return;
    }
  }
}

/** Points along the longest of some lines, on the canvas, for a word to stand at. */
function placesAlong(layout, lines) {
  const longest = lines.reduce((best, line) => (line.length > best.length ? line : best), []);
  return [0.5, 0.25, 0.75, 0.12, 0.88, 0.37, 0.63, 0]
    .map((share) => longest[Math.floor(share * (longest.length - 1))])
    .filter(Boolean)
    .map((point) => layout.place(point));
}

function drawImage(context, layout, view, scene, point) {
  const image = scene.image;
  const index = indexAt(image, view.normal, point[view.normal]);
  if (index < 0) return;
  const [low, high] = WINDOWS[scene.window];
  const plane = planeOf(image, image.codes, view.normal, index, (code) => image.first + code * image.step);
  const picture = pictureOf(plane, (value, data, at) => {
    data[at] = data[at + 1] = data[at + 2] = (255 * (value - low)) / (high - low);
    data[at + 3] = 255;
  });
  putPicture(context, layout, view, plane, picture, true);
}

function dosePlane(scene, view, name, index) {
  const volume = scene.doses.get(name);
  const percent = (100 * volume.step) / scene.prescribed;
  const read = (code) => (code === UNKNOWN ? NaN : code * percent);
  return planeOf(volume, volume.codes, view.normal, index, read);
}

/** Plane of what the colour overlay shows: percent of the prescription, or gamma. */
function overlayPlane(scene, view, index) {
  if (scene.wash === "gamma") {
    const volume = scene.gamma;
    return planeOf(volume, volume.codes, view.normal, index, (code) => valueOf(volume, code));
  }
  if (scene.wash !== "difference") return dosePlane(scene, view, scene.wash, index);
  const plane = dosePlane(scene, view, "calculated", index);
  const reference = dosePlane(scene, view, "reference", index);
  const counts = planeOf(scene.grid, scene.patient, view.normal, index, (code) => code);
  plane.values.forEach((value, i) => (plane.values[i] = counts.values[i] ? value - reference.values[i] : NaN));
  return plane;
}

function drawOverlay(context, layout, view, scene, index, labels) {
  const plane = overlayPlane(scene, view, index);
  const style = overlayStyle(scene.wash, scene.gamma?.most);
  const picture = pictureOf(plane, (value, data, at) => {
    if (Number.isNaN(value)) return;
    const beyond = value === Infinity;
    const rgb = beyond ? [255, 0, 255] : mixed(style.stops, value);
    for (let c = 0; c < 3; c++) data[at + c] = rgb[c];
    data[at + 3] = 255 * scene.opacity * (beyond ? 1 : style.solid(value));
  });
  // Gamma is known at voxels, not between them.
  putPicture(context, layout, view, plane, picture, scene.wash !== "gamma");
  const marks = { difference: [[data.difference.mark, []], [-data.difference.mark, [5, 3]]], gamma: [[1, []]] };
  for (const [level, dash] of marks[scene.wash] ?? []) {
    const lines = contourLines(plane, level);
    strokeLines(context, layout, lines, { colour: "#111", width: 1.1, dash, halo: "rgb(255 255 255 / 60%)" });
    if (lines.length) labels.put(scene.write(level, 0, scene.wash === "difference"), placesAlong(layout, lines));
  }
}

function drawIsodoses(context, layout, view, scene, index, labels) {
  const both = scene.lines === "both";
  for (const name of both ? ["reference", "calculated"] : [scene.lines]) {
    const plane = dosePlane(scene, view, name, index);
    const dash = name === "reference" ? [5, 4] : [];
    for (const [percent, colour, width] of LEVELS) {
      const lines = contourLines(plane, percent);
      if (!lines.length) continue;
      strokeLines(context, layout, lines, { colour, width, dash, halo: "rgb(255 255 255 / 75%)" });
      if (both && name === "reference") continue;
      labels.put(`${percent}`, placesAlong(layout, lines), { colour, halo: "#fff", bold: true });
    }
  }
}

function drawStructures(context, layout, view, scene, index, labels) {
  for (const structure of scene.structures) {
    if (!scene.shown.has(structure.number)) continue;
    const plane = maskPlane(structure, scene.grid, view.normal, index);
    if (!plane) continue;
    const lines = contourLines(plane, 0.5);
    if (!lines.length) continue;
    const width = structure.kind === "target" ? 2.4 : 1.6;
    strokeLines(context, layout, lines, { colour: structure.colour, width, halo: "rgb(0 0 0 / 70%)" });
    const text = `${structure.number} ${structure.name}`.slice(0, 24);
    const places = placesAlong(layout, lines).map(([x, y]) => [x, y - 9]);
    labels.put(text, places, { size: 10.5, colour: "#fff", halo: "#000" });
  }
}

function drawCross(context, layout, view, point) {
  const [x, y] = layout.place([point[view.across], point[view.along]]);
  const ways = [[[0, y], [x - 9, y]], [[x + 9, y], [layout.width, y]], [[x, 0], [x, y - 9]], [[x, y + 9], [x, layout.height]]];
  for (const [colour, width] of [["rgb(0 0 0 / 55%)", 2.4], ["#ffe95a", 1]]) {
    [context.strokeStyle, context.lineWidth] = [colour, width];
    for (const [from, to] of ways) {
      context.beginPath();
      context.moveTo(...from);
      context.lineTo(...to);
      context.stroke();
    }
  }
}

function drawFrame(layout, view, labels) {
  const { width, height } = layout;
  const sides = [[12, height / 2], [width - 12, height / 2], [width / 2, 12], [width / 2, height - 12]];
  sides.forEach((place, k) => labels.put(view.letters[k], [place], { size: 15, bold: true }));
}

function drawScale(context, layout, labels) {
  const [x, y] = [12, layout.height - 12];
  const length = SCALE_MM * layout.scale;
  for (const [colour, width] of [["#000", 5], ["#fff", 2.5]]) {
    [context.strokeStyle, context.lineWidth] = [colour, width];
    context.beginPath();
    context.moveTo(x, y);
    context.lineTo(x + length, y);
    context.stroke();
  }
  labels.put(`${SCALE_MM} mm`, [[x + length / 2, y - 12]], {});
}

/** Draw a plane through a point; returns its layout, which tells where a click lies. */
function drawPlane(canvas, name, scene, point, width, sharpness) {
  const view = VIEWS[name];
  const layout = layoutOf(view, scene.grid, point, scene.zoom, width);
  canvas.width = Math.round(width * sharpness);
  canvas.height = Math.round(layout.height * sharpness);
  const context = canvas.getContext("2d");
  context.scale(sharpness, sharpness);
  context.fillStyle = "#000";
  context.fillRect(0, 0, width, layout.height);
  const index = indexAt(scene.grid, view.normal, point[view.normal]);
  const labels = new Labels(context, layout);
  drawImage(context, layout, view, scene, point);
  drawFrame(layout, view, labels);
  if (scene.wash !== "none") drawOverlay(context, layout, view, scene, index, labels);
  drawStructures(context, layout, view, scene, index, labels);
  if (scene.lines !== "none") drawIsodoses(context, layout, view, scene, index, labels);
  drawCross(context, layout, view, point);
  drawScale(context, layout, labels);
  return layout;
}
