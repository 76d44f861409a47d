"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const canvas = byId("cloud"), context = canvas.getContext("2d");
const yawInput = byId("yaw"), pitchInput = byId("pitch"), flat = pitchInput === null;
const channels = (codes) => codes.map((code) => [1, 3, 5].map((k) => parseInt(code.slice(k, k + 2), 16)));
const palette = channels(data.colors), signed = channels(data.signed);
const decoded = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const clouds = data.clouds.map((cloud) => ({
  ...cloud, bytes: decoded(cloud.defect), shares: cloud.shares && { ...cloud.shares, bytes: decoded(cloud.shares.bytes) },
}));
const unit = data.unit === "1" ? "" : " " + data.unit;
const state = { which: 0, yaw: 0, pitch: 0 };

function color(share, colors) {
  const position = Math.min(Math.max(share, 0), 1) * (colors.length - 1);
  const index = Math.min(Math.floor(position), colors.length - 2), t = position - index;
  return "rgb(" + colors[index].map((a, k) => Math.round(a + (colors[index + 1][k] - a) * t)).join(",") + ")";
}

/* Bytes of all points at the pose, interpolated on a grid of rows (yaw) and columns (pitch). */
function interpolated(bytes, rows, columns, n) {
  const y = (state.yaw / 360) * rows, y0 = Math.floor(y) % rows, y1 = (y0 + 1) % rows, ty = y - Math.floor(y);
  const p = flat ? 0 : ((state.pitch + 90) / 180) * (columns - 1);
  const p0 = Math.min(Math.floor(p), Math.max(columns - 2, 0)), p1 = Math.min(p0 + 1, columns - 1), tp = p - p0;
  const at = (row, column, i) => bytes[(row * columns + column) * n + i];
  return Array.from({ length: n }, (_, i) => {
    const low = at(y0, p0, i) * (1 - ty) + at(y1, p0, i) * ty, high = at(y0, p1, i) * (1 - ty) + at(y1, p1, i) * ty;
    return low * (1 - tp) + high * tp;
  });
}

/* Defects as shares of the largest one, and signed contributions as shares of the largest one. */
function defects() {
  const cloud = clouds[state.which];
  return interpolated(cloud.bytes, data.yaws.length, data.pitches.length, cloud.points.length).map((byte) => byte / 255);
}

function contributions() {
  const { shares, points } = clouds[state.which];
  return interpolated(shares.bytes, shares.rows, shares.columns, points.length).map((byte) => (byte - 128) / 127);
}

function turned(point) {
  const a = (state.yaw * Math.PI) / 180, b = (state.pitch * Math.PI) / 180;
  if (flat) return [point[0] * Math.cos(a) - point[1] * Math.sin(a), point[0] * Math.sin(a) + point[1] * Math.cos(a), 0];
  const x = point[0] * Math.cos(a) + point[2] * Math.sin(a), z = -point[0] * Math.sin(a) + point[2] * Math.cos(a);
  return [x, point[1] * Math.cos(b) - z * Math.sin(b), point[1] * Math.sin(b) + z * Math.cos(b)];
}

const text = (value) => {
  const size = Math.abs(value);
  return size === 0 ? "0" : (value < 0 ? "−" : "") + (size >= 0.01 && size < 1e4 ? size.toPrecision(3) : size.toExponential(1));
};

function draw() {
  const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  canvas.width = width * ratio; canvas.height = height * ratio;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  const cloud = clouds[state.which], sizes = defects(), reach = 0.4 * Math.min(width, height);
  const line = getComputedStyle(canvas).getPropertyValue("--soft");
  const values = cloud.shares ? contributions() : sizes, top = cloud.shares ? cloud.shares.largest : cloud.largest;
  const fill = (value) => (cloud.shares ? color((1 + value) / 2, signed) : color(value, palette));
  const spots = cloud.points.map((point, i) => ({ at: turned(point), value: values[i] })).sort((a, b) => a.at[2] - b.at[2]);
  const size = Math.max(2.5, Math.min(11, (0.9 * reach) / Math.sqrt(spots.length)));
  for (const { at, value } of spots) {
    const depth = 1 + 0.25 * at[2];
    context.beginPath();
    context.arc(width / 2 + reach * depth * at[0], height / 2 - reach * depth * at[1], size * depth, 0, 2 * Math.PI);
    context.fillStyle = fill(value);
    context.fill();
    context.lineWidth = 1; context.strokeStyle = line; context.stroke();
  }
  const rms = cloud.largest * Math.sqrt(sizes.reduce((sum, v) => sum + v * v, 0) / sizes.length);
  byId("rms").textContent = text(rms) + unit;
  byId("relative").textContent = cloud.norm > 0 ? text(rms / cloud.norm) : "–";
  const largest = values.reduce((best, v) => (Math.abs(v) > Math.abs(best) ? v : best), 0);
  if (byId("largest")) byId("largest").textContent = text(top * largest) + unit;
  byId("bottom").textContent = cloud.shares ? text(-top) : "0";
  byId("top").textContent = text(top);
  byId("yaw-value").textContent = Math.round(state.yaw) + "°";
  yawInput.value = state.yaw;
  if (!flat) { byId("pitch-value").textContent = Math.round(state.pitch) + "°"; pitchInput.value = state.pitch; }
}

function turnTo(yaw, pitch) {
  state.yaw = ((yaw % 360) + 360) % 360;
  state.pitch = Math.min(90, Math.max(-90, pitch));
  draw();
}

function worst() {
  const cloud = clouds[state.which], n = cloud.points.length, columns = data.pitches.length;
  let best = -1, found = 0;
  for (let pose = 0; pose < cloud.bytes.length / n; pose += 1) {
    let sum = 0;
    for (let i = 0; i < n; i += 1) sum += cloud.bytes[pose * n + i] ** 2;
    if (sum > best) { best = sum; found = pose; }
  }
  turnTo(data.yaws[Math.floor(found / columns)], data.pitches[found % columns]);
}

let held = null;
canvas.addEventListener("pointerdown", (event) => {
  held = [event.clientX, event.clientY];
  try { canvas.setPointerCapture(event.pointerId); } catch { /* a pointer that is gone already */ }
});
canvas.addEventListener("pointermove", (event) => {
  if (held === null) return;
  const dx = event.clientX - held[0], dy = event.clientY - held[1];
  held = [event.clientX, event.clientY];
  turnTo(state.yaw + (flat ? -0.5 : 0.5) * dx, state.pitch + (flat ? 0 : 0.5 * dy));
});
for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => { held = null; });
canvas.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: [-5, 0], ArrowRight: [5, 0], ArrowUp: [0, -5], ArrowDown: [0, 5] }[event.key];
  if (!step) return;
  event.preventDefault();
  turnTo(state.yaw + step[0], flat ? 0 : state.pitch + step[1]);
});
yawInput.addEventListener("input", () => turnTo(Number(yawInput.value) % 360, state.pitch));
if (!flat) pitchInput.addEventListener("input", () => turnTo(state.yaw, Number(pitchInput.value)));
byId("which").addEventListener("change", (event) => { state.which = Number(event.target.value); draw(); });
byId("worst").addEventListener("click", worst);
byId("reset").addEventListener("click", () => turnTo(0, 0));
new ResizeObserver(draw).observe(canvas);
worst();
