// Colours of isodoses and of the colour overlays, with the legends that explain them. Those of
// differences come with the data (difference_colours.py), as paper shows them too.

// Percent of the prescription, colour and width; the percentage stands on the line as well.
const LEVELS = [
  [107, "#7a0019", 2.2], [100, "#d00000", 2.2], [95, "#e8710a", 1.8], [80, "#9c27b0", 1.6],
  [50, "#1565c0", 1.6], [30, "#00796b", 1.3], [10, "#555555", 1.2],
];

const DOSE_STOPS = [
  [0, 40, 40, 120], [10, 50, 80, 190], [30, 40, 160, 200], [50, 60, 180, 90],
  [80, 220, 220, 60], [95, 245, 150, 30], [107, 205, 20, 30], [120, 120, 0, 60],
];
const GAMMA_STOPS = [
  [0, 255, 255, 255], [0.5, 190, 225, 190], [0.99, 90, 175, 110], [1, 255, 200, 60],
  [1.5, 225, 80, 40], [2, 110, 0, 60],
];

/** Red, green and blue between the stops around a value. */
function mixed(stops, value) {
  let k = 1;
  while (k < stops.length - 1 && value > stops[k][0]) k++;
  const [low, high] = [stops[k - 1], stops[k]];
  const share = Math.min(Math.max((value - low[0]) / (high[0] - low[0]), 0), 1);
  return [1, 2, 3].map((c) => low[c] + share * (high[c] - low[c]));
}

/** How a kind of overlay is drawn: stops, the ticks of its bar, and how solid a value is. */
function overlayStyle(kind, mostGamma) {
  if (kind === "difference") {
    const { stops, scale, mark } = data.difference;
    return {
      stops,
      ticks: [-scale, -5, -mark, 0, mark, 5, scale],
      solid: (value) => Math.min(Math.abs(value) / mark, 1),
    };
  }
  if (kind === "gamma") {
    const stops = GAMMA_STOPS.map(([at, ...rgb]) => [at > 1 ? 1 + (at - 1) * (mostGamma - 1) : at, ...rgb]);
    return { stops, ticks: [0, 0.5, 1, mostGamma], solid: (value) => (value > 1 ? 1 : 0.3 + 0.5 * value) };
  }
  return {
    stops: DOSE_STOPS,
    ticks: [10, 30, 50, 80, 95, 107, 120],
    solid: (value) => Math.min(Math.max((value - 5) / 10, 0), 1),
  };
}

/** Draw the bar of an overlay with its ticks. */
function drawBar(canvas, style, write) {
  const context = canvas.getContext("2d");
  const [left, right] = [28, canvas.width - 28];
  const [low, high] = [style.stops[0][0], style.stops[style.stops.length - 1][0]];
  context.clearRect(0, 0, canvas.width, canvas.height);
  for (let x = left; x < right; x++) {
    const value = low + ((x - left) / (right - left)) * (high - low);
    context.fillStyle = `rgb(${mixed(style.stops, value).map(Math.round).join(" ")})`;
    context.fillRect(x, 6, 1, 34);
  }
  context.strokeStyle = "#222";
  context.strokeRect(left, 6, right - left, 34);
  context.fillStyle = "#222";
  context.font = "24px sans-serif";
  context.textAlign = "center";
  for (const tick of style.ticks) {
    const x = left + ((tick - low) / (high - low)) * (right - left);
    context.fillRect(x - 1, 40, 2, 8);
    context.fillText(write(tick), x, 74);
  }
}
