// Every layer and head as a small picture, to choose from.

// Pixels of a picture at most; of a larger matrix, each pixel is the largest of its part.
const PIXELS = 40;

const grid = {
  box: find("heads"),

  build() {
    this.box.style.setProperty("--columns", heads + 1);
    this.box.style.setProperty("--thumb", heads > 8 ? "2.6rem" : "4.2rem");
    const titles = Array.from({ length: heads }, (_, head) => element("span", { class: "title", "aria-hidden": "true" }, head));
    this.box.append(element("span", { class: "title corner", "aria-hidden": "true" }, "head"), ...titles, element("span", { class: "title", "aria-hidden": "true" }, "mean"));
    this.buttons = [];
    for (let layer = 0; layer < layers; layer++) {
      this.box.append(element("span", { class: "title row", "aria-hidden": "true" }, layer === 0 ? `layer ${layer}` : layer));
      for (let head = 0; head <= heads; head++) this.box.append(this.button(layer, head));
    }
  },

  button(layer, head) {
    const entropy = page.attention.entropy[layer * heads + head];
    const name = `Layer ${layer}, ${headName(head)}` + (head < heads ? `, entropy ${number(entropy, 2)} bits` : "");
    const node = element("button", { type: "button", role: "radio", "aria-label": name, title: name, tabindex: -1 },
      element("canvas", { "aria-hidden": "true" }));
    node.addEventListener("click", () => choose({ layer, head }));
    node.addEventListener("keydown", event => this.key(event, layer, head));
    this.buttons.push(node);
    return node;
  },

  key(event, layer, head) {
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    layer = (layer + move[0] + layers) % layers;
    head = (head + move[1] + heads + 1) % (heads + 1);
    choose({ layer, head });
    this.buttons[place(layer, head)].focus();
  },

  draw() {
    this.buttons.forEach((node, at) => this.thumb(node.firstChild, at));
    this.mark();
  },

  // Each on a scale of its own: the pattern counts.
  thumb(canvas, at) {
    const size = Math.min(n, PIXELS);
    const values = new Float32Array(size * size);
    const start = at * n * kept;
    for (let k = 0; k < n * kept; k++) {
      const [i, j] = [Math.floor(k / kept), packed.columns ? packed.columns[start + k] : k % kept];
      const to = Math.floor(i * size / n) * size + Math.floor(j * size / n);
      values[to] = Math.max(values[to], packed.weights[start + k]);
    }
    paint(canvas, values, [0, largest(values)]);
  },

  mark() {
    this.buttons.forEach((node, at) => {
      const here = at === place(chosen.layer, chosen.head);
      node.setAttribute("aria-checked", here);
      node.tabIndex = here ? 0 : -1;
    });
  },
};
