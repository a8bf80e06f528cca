// The text: the chosen word looks, the others are shaded by what it gives them.

// Words up to which they stand large.
const FEW = 10;
// Words up to which there are arcs, and a number under each word.
const SHORT = 60;
// Arcs at most, and the smallest weight that has one, as a share of the largest.
const ARCS = 12;
const ARC_FROM = 0.08;

// A text whose first letter is of such a script runs from right to left.
const RIGHT_TO_LEFT = /^\P{L}*[\p{Script=Hebrew}\p{Script=Arabic}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}\p{Script=Adlam}]/u;

const sentence = {
  box: find("words"),
  arcs: drawing("svg", { class: "arcs", "aria-hidden": "true" }),

  build() {
    this.box.classList.toggle("few", n <= FEW);
    this.box.classList.toggle("long", n > SHORT);
    this.box.dir = RIGHT_TO_LEFT.test(page.words.map(({ text }) => text).join("")) ? "rtl" : "ltr";
    this.words = page.words.map(({ text, known, pieces }, i) => {
      const title = known ? (pieces.length > 1 ? `seen in pieces: ${pieces.join(" ")}` : null) : "not in the vocabulary";
      return element("button", { type: "button", class: known ? "word" : "word unknown", "data-word": i, tabindex: -1, title },
        element("bdi", {}, text), element("small", { "aria-hidden": "true" }));
    });
    this.rest = element("span", { class: "rest", title: "special tokens and marks" }, "rest", element("small"));
    const parts = this.words.flatMap((node, i) => [page.words[i].gap, node]);
    this.box.append(this.arcs, ...parts, element("span", { class: "tail" }, page.tail), this.rest);
    this.listen();
    this.box.scrollTop = this.words[chosen.word].offsetTop - this.box.clientHeight / 2;
  },

  listen() {
    const at = event => event.target.closest("[data-word]")?.dataset.word;
    this.box.addEventListener("pointerover", event => {
      if (event.pointerType !== "touch" && at(event)) choose({ over: Number(at(event)) });
    });
    this.box.addEventListener("pointerleave", () => choose({ over: null }));
    this.box.addEventListener("focusin", event => at(event) && choose({ over: Number(at(event)) }));
    this.box.addEventListener("focusout", () => choose({ over: null }));
    this.box.addEventListener("click", event => at(event) && choose({ word: Number(at(event)), over: null }));
    this.box.addEventListener("keydown", event => this.key(event));
  },

  key(event) {
    const from = word();
    const right = getComputedStyle(this.box).direction === "rtl" ? -1 : 1;
    const places = { ArrowRight: from + right, ArrowLeft: from - right, ArrowDown: from + 1, ArrowUp: from - 1, Home: 0, End: n - 1 };
    if (!(event.key in places)) return;
    event.preventDefault();
    const to = Math.min(n - 1, Math.max(0, places[event.key]));
    choose({ word: to, over: null });
    this.words[to].focus();
  },

  draw() {
    const [from, row] = [word(), rowOf(word())];
    const [high, colours] = [largest(row), ramp()];
    this.words.forEach((node, j) => {
      const rgb = colour(row[j] / high, colours);
      node.style.background = css(rgb);
      node.style.color = ink(rgb);
      node.dataset.weight = weight(row[j]);
      node.tabIndex = j === chosen.word ? 0 : -1;
      node.classList.toggle("chosen", j === from);
      node.setAttribute("aria-pressed", j === chosen.word);
      node.lastChild.textContent = n > SHORT ? "" : number(row[j], 2);
    });
    this.rest.lastChild.textContent = number(restOf(from), 2);
    this.arc(from, row, high);
    this.tell(from, row);
  },

  arc(from, row, high) {
    this.arcs.replaceChildren();
    if (n > SHORT || !(high > 0)) return;
    const frame = this.box.getBoundingClientRect();
    const top = j => {
      const box = this.words[j].getBoundingClientRect();
      return [box.left + box.width / 2 - frame.left, box.top - frame.top];
    };
    const [x, y] = top(from);
    for (const j of ranked(row, ARCS, j => j !== from && row[j] >= ARC_FROM * high)) {
      const [u, v] = top(j);
      const rise = Math.min(46, 14 + Math.abs(u - x) / 7);
      const peak = Math.min(y, v) - rise;
      const share = row[j] / high;
      this.arcs.append(
        drawing("path", { d: `M${x} ${y}C${x} ${peak} ${u} ${peak} ${u} ${v - 3}`, "stroke-width": 1 + 5 * share, opacity: 0.35 + 0.65 * share }),
        drawing("circle", { cx: u, cy: v - 3, r: 2.5 + 2 * share, opacity: 0.35 + 0.65 * share }));
    }
  },

  // The same in words.
  tell(from, row) {
    const places = ranked(row, 5, j => row[j] >= 0.0005);
    const away = j => (j === from ? "itself" : n > SHORT ? `${wordText(j)} (${Math.abs(j - from)} ${j < from ? "back" : "ahead"})` : wordText(j));
    const list = places.map(j => `${away(j)} ${weight(row[j])}`);
    if (othersOf(from) >= 0.0005) list.push(`words too faint to be kept ${weight(othersOf(from))}`);
    const rest = `${list.length ? ", " : ""}rest ${weight(restOf(from))}`;
    find("looks").replaceChildren(element("strong", {}, wordText(from)), ` looks at ${list.join(", ")}${rest}.`);
    find("chosen").textContent = `Layer ${chosen.layer}, ${headName(chosen.head)}`;
  },
};
