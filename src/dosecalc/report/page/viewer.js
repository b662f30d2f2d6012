// The page: what is chosen, what follows from it, and the controls.

const data = JSON.parse(document.getElementById("data").textContent);
const find = (id) => document.getElementById(id);
const every = (selector) => [...document.querySelectorAll(selector)];
const PRINT_WIDTH = 640;

const state = {
  language: data.language,
  point: null,
  shown: new Set(data.structures.filter((s) => s.shown).map((s) => s.number)),
  beam: 0,
  control: 0,
  printing: false,
};
const layouts = {};
let scene = null;

// --- words and numbers ---

function word(key, values = {}) {
  const text = data.words[state.language][key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** A topic and what is said of it, with the language's own space before the colon. */
function topicLine(topic, text) {
  return word("topic_line", { topic, text });
}

function write(value, digits, signed = false) {
  if (!Number.isFinite(value)) return "\u2013";
  const text = (signed && value > 0 ? "+" : "") + value.toFixed(digits);
  return text.replace("-", "\u2212").replace(".", data.words[state.language].decimal);
}

/** A dose's name: a word, or the name of another engine. */
function doseName(name) {
  return name.startsWith("other:") ? name.slice(6) : word(`name_${name}`);
}

function setLanguage(language) {
  state.language = language;
  document.documentElement.lang = language;
  for (const part of every("[data-part]")) part.hidden = part.dataset.part !== language;
  for (const item of every("[data-word]")) item.textContent = word(item.dataset.word);
  for (const tick of every("[data-number]")) tick.textContent = tick.dataset.number.replace(".", data.words[language].decimal);
  for (const button of every("[data-language]")) button.setAttribute("aria-pressed", button.dataset.language === language);
  for (const [name, view] of Object.entries(VIEWS)) {
    const plane = word(name);
    find(`plane-${name}`).setAttribute("aria-label", word("plane_image", { plane }));
    find(`slider-${name}`).setAttribute("aria-label", word("slider_label", { plane, axis: "xyz"[view.normal] }));
  }
  if (scene) drawAll();
  drawBev();
}

// --- planes ---

/** Doses, image, gamma and masks as volumes, once they are unpacked. */
async function unpackAll() {
  const doses = new Map();
  for (const dose of data.doses) doses.set(dose.name, await makeVolume(data.grid, dose));
  const image = await makeVolume(data.image, data.image);
  const gamma = data.gamma && { ...(await makeVolume(data.grid, data.gamma)), most: data.gamma.most };
  const patient = data.patient && (await unpack(data.patient, 1));
  for (const structure of data.structures) {
    if (structure.mask) structure.codes = await unpack(structure.mask.data, 1);
  }
  return { grid: data.grid, doses, image, gamma, patient, structures: data.structures, prescribed: data.prescribed, write };
}

/** Take over what the controls say. */
function readControls() {
  for (const name of ["wash", "lines", "window"]) scene[name] = find(name).value;
  scene.opacity = find("opacity").value / 100;
  scene.zoom = Number(find("zoom").value);
  scene.shown = state.shown;
  if (state.printing) Object.assign(scene, { wash: "none", zoom: 1 });
}

/** Snap a point to the centre of the voxel that it lies in, within the grid. */
function snapped(point) {
  return point.map((value, axis) => {
    const index = Math.round((value - data.grid.origin[axis]) / data.grid.spacing[axis]);
    return positionAt(data.grid, axis, Math.min(Math.max(index, 0), data.grid.shape[2 - axis] - 1));
  });
}

function moveTo(point) {
  state.point = snapped(point);
  if (scene) drawAll();
}

function step(axis, count) {
  moveTo(state.point.map((value, k) => (k === axis ? value + count * data.grid.spacing[k] : value)));
}

function drawAll() {
  readControls();
  for (const [name, view] of Object.entries(VIEWS)) {
    const canvas = find(`plane-${name}`);
    const width = state.printing ? PRINT_WIDTH : canvas.parentElement.clientWidth;
    layouts[name] = drawPlane(canvas, name, scene, state.point, width, state.printing ? 2 : window.devicePixelRatio || 1);
    const position = write(state.point[view.normal], 1);
    find(`at-${name}`).textContent = `${"xyz"[view.normal]} = ${position} mm`;
    const slider = find(`slider-${name}`);
    slider.max = data.grid.shape[2 - view.normal] - 1;
    slider.value = indexAt(data.grid, view.normal, state.point[view.normal]);
    slider.setAttribute("aria-valuetext", `${position} mm`);
  }
  fillReadout();
  fillLegend();
}

// --- what stands beside the planes ---

function row(name, topic, text) {
  const line = document.createElement("tr");
  const [head, cell] = [document.createElement("th"), document.createElement("td")];
  [head.textContent, cell.textContent, head.scope, cell.dataset.value] = [topic, text, "row", name];
  line.append(head, cell);
  return line;
}

function fillReadout() {
  const point = state.point;
  const percent = (gray) => `${write((100 * gray) / data.prescribed, 1)} %`;
  const rows = [row("position", word("readout_position"), point.map((v, k) => `${"xyz"[k]} ${write(v, 1)}`).join(", ") + " mm")];
  const image = valueAt(scene.image, point);
  const isHu = scene.image.kind === "hu";
  rows.push(row("image", word(isHu ? "readout_hu" : "readout_density"), isHu ? `${write(image, 0)} HU` : `${write(image, 3)} g/cm³`));
  const doses = new Map();
  for (const [name, volume] of scene.doses) {
    const gray = valueAt(volume, point);
    doses.set(name, gray);
    const text = Number.isNaN(gray) ? word("outside_grid") : `${write(gray, 2)} Gy = ${percent(gray)}`;
    rows.push(row(name, doseName(name), text));
  }
  if (doses.has("reference")) {
    const less = doses.get("calculated") - doses.get("reference");
    const text = Number.isNaN(less) ? "\u2013" : `${write(less, 2, true)} Gy = ${write((100 * less) / data.prescribed, 1, true)} % ${word("readout_of_prescription")}`;
    rows.push(row("difference", word("readout_difference"), text));
  }
  if (scene.gamma) rows.push(row("gamma", word("readout_gamma"), gammaText(valueAt(scene.gamma, point))));
  const inside = data.structures.filter((s) => holds(s, point)).map((s) => s.name);
  rows.push(row("structures", word("readout_structures"), inside.join(", ") || word("none")));
  find("readout").replaceChildren(...rows);
}

function gammaText(value) {
  if (Number.isNaN(value)) return word("gamma_below");
  if (value === Infinity) return word("gamma_outside");
  const text = write(value, 2);
  return value >= scene.gamma.most - 0.001 ? word("gamma_over", { value: text }) : text;
}

function holds(structure, point) {
  if (!structure.codes) return false;
  const [z, y, x] = [2, 1, 0].map((axis) => indexAt(data.grid, axis, point[axis]));
  const [[z0, z1], [y0, y1], [x0, x1]] = structure.mask.box;
  if (z < z0 || z >= z1 || y < y0 || y >= y1 || x < x0 || x >= x1) return false;
  return structure.codes[((z - z0) * (y1 - y0) + y - y0) * (x1 - x0) + x - x0] >= 128;
}

function svgLine(colour, width, dash) {
  const space = "http://www.w3.org/2000/svg";
  const [svg, line] = [document.createElementNS(space, "svg"), document.createElementNS(space, "line")];
  const set = (item, values) => Object.entries(values).forEach(([key, value]) => item.setAttribute(key, value));
  set(svg, { width: 46, height: 10, "aria-hidden": "true" });
  set(line, { x1: 0, x2: 46, y1: 5, y2: 5, stroke: colour, "stroke-width": width, "stroke-dasharray": dash });
  svg.append(line);
  return svg;
}

function legendEntry(picture, text) {
  const entry = document.createElement("span");
  entry.append(picture, ` ${text}`);
  return entry;
}

/** Says it where the largest difference has no colour of its own. */
function beyondScale() {
  const { largest, scale } = data.difference;
  return Math.abs(largest) > scale ? word("beyond_scale", { percent: write(largest, 1, true) }) : "";
}

/** Isodoses with their Gy; below, the bar of the colour overlay. */
function fillLegend() {
  const entries = [];
  if (scene.lines !== "none") {
    const top = Math.max(...[...scene.doses.values()].map((d) => d.most ??= d.codes.reduce((a, c) => (c < UNKNOWN && c > a ? c : a), 0) * d.step));
    for (const [percent, colour, width] of LEVELS) {
      const gray = (percent * data.prescribed) / 100;
      if (gray <= top) entries.push(legendEntry(svgLine(colour, width + 0.6, ""), `${percent} % = ${write(gray, 1)} Gy`));
    }
    if (scene.lines === "both") {
      entries.push(legendEntry(svgLine("#222", 2, ""), word("legend_solid")), legendEntry(svgLine("#222", 2, "5 4"), word("legend_dashed")));
    }
  }
  find("legend").replaceChildren(...entries);
  const washed = scene.wash !== "none";
  find("bar").hidden = !washed;
  const compared = scene.wash === "difference" || scene.wash === "gamma";
  const note = washed ? word(compared ? `legend_${scene.wash}` : "legend_wash") : "";
  find("bar-note").textContent = scene.wash === "difference" ? `${note}. ${beyondScale()}` : note;
  if (washed) {
    // Gamma is not searched for beyond its end.
    const end = (value) => (scene.wash === "gamma" && value === scene.gamma.most ? "\u2265 " : "");
    const tick = (value) => end(value) + write(value, Number.isInteger(value) ? 0 : 1, scene.wash === "difference");
    drawBar(find("bar"), overlayStyle(scene.wash, scene.gamma?.most), tick);
  }
  const spacing = data.grid.spacing.map((s) => write(s, 2)).join(" × ");
  const thinned = data.steps.some((s) => s > 1) ? ` ${word("grid_thinned", { steps: data.steps.join(", ") })}` : "";
  find("grid-note").textContent = word("grid_note", { spacing }) + thinned;
}

// --- structures and histograms ---

function showStructures(numbers) {
  state.shown = new Set(numbers);
  for (const box of every("[data-structure]")) box.checked = state.shown.has(Number(box.dataset.structure));
  for (const curve of every("[data-curve]")) curve.classList.toggle("off", !state.shown.has(Number(curve.dataset.curve)));
  if (scene) drawAll();
}

/** Dose and volume under the pointer in the histograms. */
function followPointer(event) {
  const drawing = find("dvh-drawing");
  const [left, top, right, bottom] = drawing.dataset.box.split(" ").map(Number);
  const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(drawing.getScreenCTM().inverse());
  const inside = at.x >= left && at.x <= right && at.y >= top && at.y <= bottom;
  const dose = ((at.x - left) / (right - left)) * Number(drawing.dataset.dose);
  const volume = (100 * (bottom - at.y)) / (bottom - top);
  find("dvh-pointer").textContent = inside ? topicLine(word("dvh_cursor"), `${write(dose, 1)} Gy, ${write(volume, 1)} %`) : "";
  for (const end of ["x1", "x2"]) find("dvh-cursor").setAttribute(end, inside ? at.x : -9);
}

// --- beam's-eye views ---

function bevState(beam, point) {
  const [gantry, collimator, couch] = point.angles.map((angle) => write(angle, 1));
  return word("bev_state", { mu: write(beam.mu * point.share, 1), total: write(beam.mu, 1), gantry, collimator, couch });
}

function drawBev() {
  const beam = data.beams[state.beam];
  if (!beam) return;
  const slider = find("bev_point");
  slider.max = beam.points.length - 1;
  slider.value = state.control;
  const point = beam.points[state.control];
  const canvas = find("bev-canvas");
  drawBeam(canvas, beam, point, data.targets);
  const n = `${state.control + 1} / ${beam.points.length}`;
  slider.setAttribute("aria-valuetext", n);
  canvas.setAttribute("aria-label", word("bev_image", { name: `${beam.number} ${beam.name}`, n }));
  find("bev-state").textContent = topicLine(`${word("bev_point")} ${n}`, bevState(beam, point));
}

/** For print: every beam at its first control point. */
function drawPrintedBeams() {
  const figures = data.beams.map((beam) => {
    const [figure, caption, canvas] = ["figure", "figcaption", "canvas"].map((name) => document.createElement(name));
    [canvas.width, canvas.height] = [640, 640];
    drawBeam(canvas, beam, beam.points[0], data.targets);
    caption.textContent = topicLine(`${beam.number} ${beam.name}`, bevState(beam, beam.points[0]));
    figure.append(caption, canvas);
    return figure;
  });
  find("bev-print")?.replaceChildren(...figures);
}

// --- controls ---

/** Go to a named place and show there what it is named for. */
function goTo(name) {
  const overlay = { largest: "difference", gamma: "gamma" }[name];
  if (overlay && scene) find("wash").value = overlay;
  moveTo(data.places[name]);
  find("viewer").scrollIntoView({ block: "start" });
}

function pointerMoves(name, event) {
  if (event.type === "pointermove" && !(event.buttons & 1)) return;
  const view = VIEWS[name];
  const box = event.currentTarget.getBoundingClientRect();
  const layout = layouts[name];
  const scale = layout.width / box.width;
  const [across, along] = layout.back((event.clientX - box.left) * scale, (event.clientY - box.top) * scale);
  const point = [...state.point];
  [point[view.across], point[view.along]] = [across, along];
  moveTo(point);
}

function keyMoves(name, event) {
  const view = VIEWS[name];
  const moves = {
    ArrowLeft: [view.across, -1], ArrowRight: [view.across, 1],
    ArrowUp: [view.along, view.up ? 1 : -1], ArrowDown: [view.along, view.up ? -1 : 1],
    PageUp: [view.normal, 1], PageDown: [view.normal, -1],
  };
  if (!moves[event.key]) return;
  event.preventDefault();
  step(...moves[event.key]);
}

function connectPlanes() {
  for (const [name, view] of Object.entries(VIEWS)) {
    const canvas = find(`plane-${name}`);
    for (const type of ["pointerdown", "pointermove"]) canvas.addEventListener(type, (event) => pointerMoves(name, event));
    canvas.addEventListener("keydown", (event) => keyMoves(name, event));
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      step(view.normal, event.deltaY < 0 ? 1 : -1);
    }, { passive: false });
    find(`slider-${name}`).addEventListener("input", (event) => {
      const point = [...state.point];
      point[view.normal] = positionAt(data.grid, view.normal, Number(event.target.value));
      moveTo(point);
    });
  }
  for (const name of ["wash", "lines", "window", "opacity", "zoom"]) find(name).addEventListener("input", drawAll);
  window.addEventListener("resize", drawAll);
}

function connectRest() {
  for (const button of every("[data-language]")) button.addEventListener("click", () => setLanguage(button.dataset.language));
  for (const button of every("[data-go]")) button.addEventListener("click", () => goTo(button.dataset.go));
  for (const box of every("[data-structure]")) {
    box.addEventListener("change", () => {
      const number = Number(box.dataset.structure);
      showStructures(box.checked ? [...state.shown, number] : [...state.shown].filter((n) => n !== number));
    });
  }
  for (const button of every("[data-every]")) {
    button.addEventListener("click", () => showStructures(button.dataset.every === "all" ? data.structures.map((s) => s.number) : []));
  }
  find("dvh-drawing")?.addEventListener("pointermove", followPointer);
  find("bev_beam")?.addEventListener("input", (event) => {
    [state.beam, state.control] = [Number(event.target.value), 0];
    drawBev();
  });
  find("bev_point")?.addEventListener("input", (event) => {
    state.control = Number(event.target.value);
    drawBev();
  });
}

/** Print shows the planes through the largest difference, or else the isocentre, without colour. */
function connectPrint() {
  let kept = null;
  window.addEventListener("beforeprint", () => {
    const name = data.places.largest ? "largest" : data.places.isocentre ? "isocentre" : "here";
    [kept, state.printing] = [state.point, true];
    find("print-title").textContent = word(`print_${name}`);
    drawPrintedBeams();
    moveTo(data.places[name] ?? state.point);
    for (const details of every("details")) details.open = true;
  });
  window.addEventListener("afterprint", () => {
    state.printing = false;
    moveTo(kept);
  });
}

async function start() {
  connectRest();
  drawBev();
  const middle = [0, 1, 2].map((axis) => positionAt(data.grid, axis, data.grid.shape[2 - axis] / 2));
  state.point = snapped(data.places.largest ?? data.places.isocentre ?? middle);
  scene = await unpackAll();
  connectPlanes();
  connectPrint();
  drawAll();
  find("status").hidden = true;
  document.body.dataset.ready = "true";
}

start().catch((error) => {
  find("status").textContent = `${word("failed")} ${error}`;
  find("status").classList.add("alarm");
});
