// What all parts share: the data, what is chosen, colours, small helpers.

const read = id => JSON.parse(document.getElementById(id).textContent);
const page = read("data");
const n = page.words.length;
const find = id => document.getElementById(id);
const tip = find("tip");

// Unsigned 16-bit integers, the lower byte first.
function integers(text) {
  const bytes = atob(text);
  const out = new Uint16Array(bytes.length / 2);
  for (let i = 0; i < out.length; i++) out[i] = bytes.charCodeAt(2 * i) + 256 * bytes.charCodeAt(2 * i + 1);
  return out;
}

function unpack({ low, high, data }) {
  const step = (high - low) / 65535;
  return Float32Array.from(integers(data), x => low + step * x);
}

// What is chosen. `over` is the word under the pointer or the focus, while it is there.
const chosen = { word: page.focus, over: null, layer: page.attention.layer, head: page.attention.head };
const watchers = [];
const watch = watcher => watchers.push(watcher);
const word = () => chosen.over ?? chosen.word;

// Changes the choice. Each watcher gets the names of what changed, once a frame however often that was.
const changed = new Set();
function choose(change) {
  const before = word();
  const keys = Object.keys(change).filter(key => chosen[key] !== change[key]);
  Object.assign(chosen, change);
  if (word() !== before) keys.push("shown");
  if (keys.length === 0) return;
  if (changed.size === 0) requestAnimationFrame(tellWatchers);
  keys.forEach(key => changed.add(key));
}

function tellWatchers() {
  const keys = new Set(changed);
  changed.clear();
  watchers.forEach(watcher => watcher(keys));
}

// A word in a line of text: its direction ends where it does.
const isolated = text => `\u2068${text}\u2069`;
const wordText = i => isolated(page.words[i].text);
const number = (x, digits) => (Math.abs(x) < 0.5 * 10 ** -digits ? 0 : x).toFixed(digits).replace("-", "\u2212");
const weight = x => number(x, 3);

function element(name, attributes = {}, ...children) {
  return build(document.createElement(name), attributes, children);
}

function drawing(name, attributes = {}, ...children) {
  return build(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function build(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

const dark = () => document.documentElement.dataset.theme
  ? document.documentElement.dataset.theme === "dark"
  : matchMedia("(prefers-color-scheme: dark)").matches;

// Both ramps as lists of [red, green, blue].
const ramps = Object.fromEntries(Object.entries(read("ramps")).map(([name, digits]) =>
  [name, digits.match(/../g).map(x => parseInt(x, 16)).reduce((ramp, x, i) => (i % 3 ? ramp.at(-1).push(x) : ramp.push([x]), ramp), [])]));
const ramp = () => (dark() ? ramps.dark : ramps.light);

// A colour of the style sheet as it is now, for a canvas.
function style(name) {
  tip.style.outlineColor = `var(${name})`;
  return getComputedStyle(tip).outlineColor;
}

// The colour of a share, 0 to 1, as [red, green, blue].
function colour(share, colours = ramp()) {
  return colours[Math.round(Math.min(1, Math.max(0, share || 0)) * (colours.length - 1))];
}

// A square of values as an image, one pixel a value.
function paint(canvas, values, [low, high]) {
  const size = Math.round(Math.sqrt(values.length));
  canvas.width = canvas.height = size;
  const pen = canvas.getContext("2d");
  const pixels = pen.createImageData(size, size);
  const [colours, scale] = [ramp(), high > low ? 1 / (high - low) : 0];
  for (let i = 0; i < values.length; i++) {
    const [r, g, b] = colour((values[i] - low) * scale, colours);
    pixels.data[4 * i] = r;
    pixels.data[4 * i + 1] = g;
    pixels.data[4 * i + 2] = b;
    pixels.data[4 * i + 3] = 255;
  }
  pen.putImageData(pixels, 0, 0);
  return canvas;
}

const css = ([r, g, b]) => `rgb(${r} ${g} ${b})`;

// Black or white, whichever has more contrast.
function ink(rgb) {
  const [r, g, b] = rgb.map(x => (x / 255 <= 0.04045 ? x / 255 / 12.92 : ((x / 255 + 0.055) / 1.055) ** 2.4));
  return (0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05) ** 2 > 1.05 * 0.05 ? "#000" : "#fff";
}

// The scale under a drawing.
function legend(low, high, unit) {
  const stops = Array.from({ length: 17 }, (_, i) => css(colour(i / 16))).join(", ");
  return element("div", { class: "legend" },
    element("span", {}, number(low, 2)),
    element("span", { class: "bar", style: `background: linear-gradient(to right in srgb, ${stops})`, "aria-hidden": "true" }),
    element("span", {}, number(high, 2)),
    element("span", { class: "unit" }, unit));
}

// A value beside the pointer.
function showTip(text, x, y) {
  tip.textContent = text;
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  const left = Math.min(x + 14, document.documentElement.clientWidth - width - 8);
  const top = y + 18 + height > innerHeight ? y - height - 10 : y + 18;
  tip.style.transform = `translate(${Math.max(8, left)}px, ${top}px)`;
}
const hideTip = () => { tip.hidden = true; };
