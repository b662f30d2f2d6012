// Volumes: unpacking what page/volumes.py packed, and cutting planes out of it.

const UNKNOWN = 65535;
const BEYOND = 65534;

/** Undo base64, deflate, the two byte planes and the differences along x. */
async function unpack(text, bytesEach) {
  const letters = atob(text);
  const packed = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) packed[i] = letters.charCodeAt(i);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  if (bytesEach === 1) {
    for (let i = 1; i < bytes.length; i++) bytes[i] += bytes[i - 1];
    return bytes;
  }
  const count = bytes.length / 2;
  const values = new Uint16Array(count);
  let last = 0;
  for (let i = 0; i < count; i++) {
    last = (last + bytes[i] + (bytes[count + i] << 8)) & 0xffff;
    values[i] = last;
  }
  return values;
}

/** A volume: its grid (shape z, y, x; spacing and origin x, y, z) and how codes become values. */
async function makeVolume(grid, packed) {
  const codes = await unpack(packed.data, 2);
  return { ...grid, codes, first: packed.first ?? 0, step: packed.step };
}

function valueOf(volume, code) {
  if (code === UNKNOWN) return NaN;
  return code === BEYOND ? Infinity : volume.first + code * volume.step;
}

/** Index of the voxel that a position (mm) lies in along an axis (0 x, 1 y, 2 z), or -1. */
function indexAt(grid, axis, position) {
  const index = Math.round((position - grid.origin[axis]) / grid.spacing[axis]);
  return index >= 0 && index < grid.shape[2 - axis] ? index : -1;
}

function positionAt(grid, axis, index) {
  return grid.origin[axis] + index * grid.spacing[axis];
}

/** Value of the voxel that a point (x, y, z) lies in; NaN outside. */
function valueAt(volume, point) {
  const [x, y, z] = [0, 1, 2].map((axis) => indexAt(volume, axis, point[axis]));
  if (x < 0 || y < 0 || z < 0) return NaN;
  const [, ny, nx] = volume.shape;
  return valueOf(volume, volume.codes[(z * ny + y) * nx + x]);
}

/**
 * The plane across an axis at an index: values row by row, rising in both of its axes.
 * `read` turns a code into a number.
 */
function planeOf(grid, codes, normal, index, read) {
  const [nz, ny, nx] = grid.shape;
  const [across, along] = [[1, 2], [0, 2], [0, 1]][normal];
  const strides = [1, nx, nx * ny];
  const [width, height] = [[nx, ny, nz][across], [nx, ny, nz][along]];
  const values = new Float32Array(width * height);
  const start = index * strides[normal];
  for (let v = 0, i = 0; v < height; v++) {
    for (let u = 0; u < width; u++, i++) {
      values[i] = read(codes[start + v * strides[along] + u * strides[across]]);
    }
  }
  const of = (list) => [list[across], list[along]];
  return { width, height, values, origin: of(grid.origin), spacing: of(grid.spacing) };
}

/** Plane of a structure's volume fractions (0 to 1), of the box that holds it; null beside it. */
function maskPlane(structure, grid, normal, index) {
  if (!structure.codes) return null;
  const box = structure.mask.box.slice().reverse();
  if (index < box[normal][0] || index >= box[normal][1]) return null;
  const part = {
    shape: structure.mask.box.map(([low, high]) => high - low),
    spacing: grid.spacing,
    origin: box.map(([low], axis) => positionAt(grid, axis, low)),
  };
  return padded(planeOf(part, structure.codes, normal, index - box[normal][0], (c) => c / 255));
}

/** Put zeros around a plane, so that outlines close. */
function padded(plane) {
  const [width, height] = [plane.width + 2, plane.height + 2];
  const values = new Float32Array(width * height);
  for (let v = 0; v < plane.height; v++) {
    const row = plane.values.subarray(v * plane.width, (v + 1) * plane.width);
    values.set(row, (v + 1) * width + 1);
  }
  const origin = plane.origin.map((o, k) => o - plane.spacing[k]);
  return { width, height, values, origin, spacing: plane.spacing };
}
