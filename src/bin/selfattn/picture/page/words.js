// What words mean here: the plane of their vectors, and what stands near them.

// Words up to which all have their names in the plane.
const NAMED = 40;

const plane = {
  box: find("plane"),
  map: page.maps[0],

  build() {
    page.maps.forEach((map, i) => {
      const input = element("input", { type: "radio", name: "map", checked: i === 0 });
      input.addEventListener("change", () => { this.map = map; this.draw(); });
      find("maps").append(element("label", {}, input, element("span", {}, map.name)));
    });
  },

  // From the vectors' unit to pixels, the same along both axes.
  layout() {
    const { before, after, near } = this.map;
    this.width = Math.max(280, this.box.clientWidth);
    this.height = Math.min(560, Math.max(300, this.width * 0.95));
    const all = [...before, ...after, ...near];
    const ends = axis => [Math.min(...all.map(p => p[axis])), Math.max(...all.map(p => p[axis]))];
    const [x, y] = [ends(0), ends(1)];
    const room = { left: 54, right: 58, top: 22, bottom: 42 };
    const inner = [this.width - room.left - room.right, this.height - room.top - room.bottom];
    const span = Math.max((x[1] - x[0]) / inner[0], (y[1] - y[0]) / inner[1]) || 1;
    const middle = [(x[0] + x[1]) / 2, (y[0] + y[1]) / 2];
    this.unit = 1 / span;
    this.at = ([a, b]) => [room.left + inner[0] / 2 + (a - middle[0]) / span, room.top + inner[1] / 2 - (b - middle[1]) / span];
    this.frame = { ...room, inner, middle, span };
  },

  draw() {
    this.layout();
    const { map } = this;
    find("maptext").textContent = map.text;
    const picture = drawing("svg", { width: this.width, height: this.height, role: "group", "aria-label": `${map.name}: the words in the plane` });
    picture.append(this.axes(), this.lines(), this.marks());
    this.box.replaceChildren(picture, this.legend());
    this.name(picture);
  },

  axes() {
    const { left, top, inner, middle, span } = this.frame;
    const group = drawing("g", { class: "axes" });
    group.append(drawing("rect", { x: left - 12, y: top - 12, width: inner[0] + 24, height: inner[1] + 24 }));
    for (const axis of [0, 1]) {
      const ends = [-1, 1].map(sign => middle[axis] + sign * span * (inner[axis] / 2 + 12));
      for (const value of ticks(...ends)) {
        const [x, y] = this.at(axis ? [middle[0], value] : [value, middle[1]]);
        const [right, bottom] = [left + inner[0] + 12, top + inner[1] + 12];
        const line = axis ? { x1: left - 12, x2: right, y1: y, y2: y } : { x1: x, x2: x, y1: top - 12, y2: bottom };
        const text = axis ? { x: left - 16, y: y + 4, "text-anchor": "end" } : { x, y: bottom + 14, "text-anchor": "middle" };
        group.append(drawing("line", line), drawing("text", text, Number(value.toPrecision(6)).toString().replace("-", "\u2212")));
      }
    }
    const share = i => `component ${i + 1} (${number(100 * this.map.shares[i], 0)} % of the variance)`;
    group.append(
      drawing("text", { x: left + inner[0] / 2, y: this.height - 2, "text-anchor": "middle" }, share(0)),
      drawing("text", { transform: `translate(11 ${top + inner[1] / 2}) rotate(-90)`, "text-anchor": "middle" }, share(1)));
    return group;
  },

  lines() {
    const group = drawing("g", { class: n > NAMED ? "moves many" : "moves" });
    this.map.before.forEach((from, i) => {
      const [[a, b], [c, d]] = [this.at(from), this.at(this.map.after[i])];
      group.append(drawing("line", { x1: a, y1: b, x2: c, y2: d, class: this.kind(i) }));
    });
    return group;
  },

  kind: i => (i === word() ? "chosen" : ""),

  marks() {
    const group = drawing("g", {});
    const mark = (node, text) => {
      node.addEventListener("pointermove", event => showTip(text, event.clientX, event.clientY));
      node.addEventListener("pointerleave", hideTip);
      group.append(node);
    };
    const where = point => `(${number(point[0], 2)}, ${number(point[1], 2)})`;
    this.map.near.forEach((point, i) => {
      const [x, y] = this.at(point);
      mark(drawing("path", { class: "near", d: `M${x} ${y - 5}l5 5l-5 5l-5 -5z` }), `${isolated(page.near[i])} ${where(point)}`);
    });
    const order = [...page.words.keys()].filter(i => i !== word()).concat(word());
    for (const [state, points] of [[0, this.map.before], [1, this.map.after]]) {
      for (const i of order) {
        const [x, y] = this.at(points[i]);
        const circle = drawing("circle", { cx: x, cy: y, r: i === word() ? 6.5 : n > NAMED ? 3.5 : 5, class: `${["before", "after"][state]} ${this.kind(i)}`, "data-point": i });
        circle.addEventListener("click", () => choose({ word: i, over: null }));
        mark(circle, `${wordText(i)}, ${this.map.states[state]} ${where(points[i])}`);
      }
    }
    return group;
  },

  // Names where there is room for them, the chosen word's first.
  name(picture) {
    const group = drawing("g", { class: "names" });
    picture.append(group);
    const { left, top, inner } = this.frame;
    const taken = [...this.map.before, ...this.map.after, ...this.map.near].map(point => {
      const [x, y] = this.at(point);
      return { x: x - 5, y: y - 5, width: 10, height: 10 };
    });
    const close = page.words[word()].sentence.after.map(([j]) => j);
    const rest = n <= NAMED ? [...page.words.keys()] : close;
    const places = [...new Set([word(), ...rest])].map(i => [page.words[i].text, this.map.after[i], this.kind(i)]);
    places.splice(1, 0, ...page.near.map((text, i) => [text, this.map.near[i], "near"]));
    if (places[0]) places.splice(1, 0, [page.words[word()].text, this.map.before[word()], "chosen ghost"]);
    for (const [text, point, kind] of places) {
      const node = drawing("text", { class: kind }, text);
      group.append(node);
      const { width } = node.getBBox();
      const [x, y] = this.at(point);
      const options = [[x + 9, y - 7], [x - width - 9, y - 7], [x - width / 2, y - 22], [x - width / 2, y + 9], [x + 7, y + 6], [x + 7, y - 21], [x - width - 7, y + 6], [x - width - 7, y - 21]];
      const inside = ([a, b]) => a > left - 10 && a + width < left + inner[0] + 56 && b > top - 20 && b + 14 < top + inner[1] + 12;
      const free = ([a, b]) => taken.every(box => a > box.x + box.width || a + width < box.x || b > box.y + box.height || b + 14 < box.y);
      const spot = options.find(option => inside(option) && free(option));
      if (!spot) { node.remove(); continue; }
      build(node, { x: spot[0], y: spot[1] + 11 }, []);
      taken.push({ x: spot[0], y: spot[1], width, height: 14 });
    }
  },

  legend() {
    const sample = (kind, node) => drawing("svg", { class: "sample", width: 14, height: 14, "aria-hidden": "true" }, drawing(node.name, { class: kind, ...node.at }));
    const circle = { name: "circle", at: { cx: 7, cy: 7, r: 5 } };
    const items = [[sample("before", circle), this.map.states[0]], [sample("after", circle), this.map.states[1]]];
    if (page.near.length) items.push([sample("near", { name: "path", at: { d: "M7 2l5 5l-5 5l-5 -5z" } }), "compared with"]);
    return element("div", { class: "legend" }, ...items.map(([mark, text]) => element("span", { class: "item" }, mark, text)),
      element("span", { class: "unit" }, "unit of both axes: that of the vectors"));
  },
};

// Four to nine round numbers between two.
function ticks(low, high) {
  const unit = 10 ** Math.floor(Math.log10((high - low) / 4));
  const step = [5, 2, 1].map(x => x * unit).find(step => (high - low) / step >= 4) ?? unit;
  const first = Math.ceil(low / step);
  return Array.from({ length: Math.max(0, Math.floor(high / step) - first + 1) }, (_, i) => (first + i) * step);
}

const near = {
  draw() {
    const { text, alone, sentence, vocabulary, near, known } = page.words[word()];
    find("near-word").textContent = `“${text}”`;
    const inText = list => list.map(([j, cosine]) => [page.words[j].text, cosine, j]);
    const groups = [
      ["In this text", inText(sentence.before), inText(sentence.after)],
      ["In the vocabulary", vocabulary.before, vocabulary.after],
      ["Words of your choice", near[0].map((x, i) => [page.near[i], x]), near[1].map((x, i) => [page.near[i], x])],
    ];
    const rows = groups.filter(group => group[1].length).flatMap(([name, before, after]) => [
      element("h3", {}, name),
      element("div", { class: "pair" }, this.list("Before", before, "before"), this.list("After", after, "after")),
    ]);
    const own = `The word here beside the same word standing alone: ${number(alone, 3)}` + (known ? "." : ". It is not in the vocabulary.");
    find("near").replaceChildren(...rows, element("p", { class: "own" }, own));
  },

  list(title, words, kind) {
    const items = words.map(([text, cosine]) => element("li", { title: `${isolated(text)} ${number(cosine, 4)}` },
      element("span", { class: `length ${kind}`, style: `width: ${100 * Math.max(0, cosine)}%`, "aria-hidden": "true" }),
      element("bdi", {}, text), element("span", { class: "value" }, number(cosine, 2))));
    return element("div", {}, element("h4", {}, title), element("ol", {}, ...items));
  },
};
