// A square matrix of the words: a canvas that tells its values to pointer and keyboard.

// Words above which a matrix takes the whole width, and its pixels are the screen's.
const MANY = 100;

class Matrix {
  constructor(box, label) {
    Object.assign(this, { box, cursor: null });
    box.parentNode.classList.toggle("wide", n > MANY);
    this.canvas = element("canvas", { tabindex: 0, role: "application", "aria-label": `${label}. Arrow keys move from cell to cell.` });
    this.scroller = element("div", { class: "scroller" }, this.canvas);
    this.canvas.addEventListener("pointermove", event => this.point(event));
    this.canvas.addEventListener("pointerdown", event => this.point(event));
    this.canvas.addEventListener("pointerleave", () => this.leave());
    this.canvas.addEventListener("click", event => this.pick(this.cellAt(event)));
    this.canvas.addEventListener("keydown", event => this.key(event));
    this.canvas.addEventListener("blur", () => this.leave());
  }

  // The numbers row by row, the ends of their scale, what they are, and whether some were left out.
  show({ values, range, unit, sparse = false }) {
    Object.assign(this, { values, range, unit, sparse });
    this.layout();
    this.image = paint(element("canvas"), values, range);
    this.box.replaceChildren(this.scroller, legend(...range, unit));
    this.draw();
  }

  draw() {
    const { canvas, left, top, cell, side } = this;
    const density = n > MANY ? 1 : Math.max(1, devicePixelRatio);
    canvas.width = this.width * density;
    canvas.height = this.height * density;
    canvas.style.width = `${this.width}px`;
    canvas.style.height = `${this.height}px`;
    const pen = canvas.getContext("2d");
    pen.scale(density, density);
    pen.imageSmoothingEnabled = false;
    pen.drawImage(this.image, left, top, side, side);
    if (cell >= 12) this.grid(pen);
    if (cell >= 34) this.numbers(pen);
    this.names(pen);
    this.frames(pen);
  }

  layout() {
    const pen = this.canvas.getContext("2d");
    const room = Math.max(240, this.box.clientWidth);
    const font = getComputedStyle(document.body).fontFamily;
    this.font = `13px ${font}`;
    pen.font = this.font;
    const most = Math.min(120, room * 0.28);
    this.labels = page.words.map(({ text }) => fit(pen, text, most));
    const widest = Math.max(...this.labels.map(text => pen.measureText(text).width));
    this.left = Math.ceil(widest + 10);
    const lean = widest * Math.SQRT1_2;
    const cell = (room - this.left - 6 - Math.min(lean, 60)) / n;
    this.cell = Math.max(n > MANY ? 2 : 9, Math.min(n <= FEW ? 80 : 60, Math.floor(cell)));
    this.leaning = widest > this.cell - 6;
    this.top = Math.ceil(this.leaning ? lean + 14 : 24);
    this.side = this.cell * n;
    this.every = Math.ceil(15 / this.cell);
    this.width = Math.ceil(this.left + this.side + (this.leaning ? Math.max(6, lean - this.cell / 2 + 8) : 6));
    this.height = this.top + this.side + 4;
  }

  share(value) {
    const [low, high] = this.range;
    return high > low ? (value - low) / (high - low) : 0;
  }

  grid(pen) {
    pen.strokeStyle = style("--paper");
    pen.lineWidth = 1;
    for (let i = 1; i < n; i++) {
      const at = i * this.cell;
      pen.strokeRect(this.left + at, this.top, 0, this.side);
      pen.strokeRect(this.left, this.top + at, this.side, 0);
    }
  }

  numbers(pen) {
    pen.font = this.font.replace("13px", "12px");
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    this.values.forEach((value, k) => {
      pen.fillStyle = ink(colour(this.share(value)));
      const [i, j] = [Math.floor(k / n), k % n];
      pen.fillText(number(value, 2), this.left + (j + 0.5) * this.cell, this.top + (i + 0.5) * this.cell);
    });
  }

  names(pen) {
    const row = word();
    pen.font = this.font;
    pen.textBaseline = "middle";
    for (let i = 0; i < n; i++) {
      if (i % this.every !== 0 && i !== row) continue;
      if (i !== row && this.every > 1 && Math.abs(i - row) < this.every) continue;
      pen.fillStyle = style(i === row ? "--ink" : "--faint");
      pen.textAlign = "right";
      pen.fillText(this.labels[i], this.left - 6, this.top + (i + 0.5) * this.cell);
      pen.save();
      pen.translate(this.left + (i + 0.5) * this.cell, this.top - 8);
      if (this.leaning) pen.rotate(-Math.PI / 4);
      pen.textAlign = this.leaning ? "left" : "center";
      pen.fillText(this.labels[i], 0, this.leaning ? 0 : -4);
      pen.restore();
    }
  }

  // The row of the chosen word, and the cell under the pointer.
  frames(pen) {
    const { left, top, cell, side } = this;
    pen.strokeStyle = style("--accent");
    pen.lineWidth = 2;
    pen.strokeRect(left - 1, top + word() * cell - 1, side + 2, cell + 2);
    if (!this.cursor) return;
    const [i, j] = this.cursor;
    pen.strokeStyle = style("--ink");
    pen.strokeRect(left + j * cell, top + i * cell, cell, cell);
  }

  cellAt({ offsetX, offsetY }) {
    const [j, i] = [(offsetX - this.left) / this.cell, (offsetY - this.top) / this.cell].map(Math.floor);
    return i >= 0 && j >= 0 && i < n && j < n ? [i, j] : null;
  }

  point(event) {
    const cell = this.cellAt(event);
    if (!cell) return this.leave();
    this.move(cell);
    showTip(this.text(cell), event.clientX, event.clientY);
  }

  text([i, j]) {
    const value = this.values[i * n + j];
    return `${wordText(i)} → ${wordText(j)}: ${this.sparse && value === 0 ? "too small to be kept" : weight(value)}`;
  }

  move(cell) {
    if (String(cell) === String(this.cursor)) return;
    this.cursor = cell;
    this.draw();
  }

  leave() {
    hideTip();
    if (this.cursor) this.move(null);
  }

  pick(cell) {
    if (cell) choose({ word: cell[0], over: null });
  }

  key(event) {
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    if (event.key === "Enter" || event.key === " ") this.pick(this.cursor);
    else if (!moves[event.key]) return;
    event.preventDefault();
    const move = moves[event.key];
    if (!move) return;
    const [i, j] = this.cursor ?? [word(), word()];
    const clip = x => Math.min(n - 1, Math.max(0, x));
    const cell = this.cursor ? [clip(i + move[0]), clip(j + move[1])] : [i, j];
    this.move(cell);
    const box = this.canvas.getBoundingClientRect();
    showTip(this.text(cell), box.left + this.left + (cell[1] + 1) * this.cell, box.top + this.top + cell[0] * this.cell);
  }
}

// As much of a text as fits.
function fit(pen, text, width) {
  if (pen.measureText(text).width <= width) return text;
  const letters = Array.from(text);
  while (letters.length > 1 && pen.measureText(`${letters.join("")}…`).width > width) letters.pop();
  return `${letters.join("")}…`;
}
