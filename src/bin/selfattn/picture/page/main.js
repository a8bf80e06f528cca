// Puts the parts together.

const ends = values => [values.reduce((a, b) => Math.min(a, b), 0), largest(values)];
const kinds = {
  similarity: { unit: "dot product", text: "The dot products of the words' rows in the word table: X Xᵀ." },
  free: { unit: "weight", text: "Softmax makes weights of each row: what a word takes from the others where nothing is learned." },
};
for (const [name, of] of Object.entries(kinds)) {
  of.values = unpack(page[name]);
  of.range = ends(of.values);
}
let kind = kinds.similarity;

const similarity = new Matrix(find("similarity"), "Similarity of the words");
const attention = new Matrix(find("attention"), "Attention between the words");

function drawSimilarity() {
  find("kind").textContent = kind.text;
  similarity.show(kind);
}

function drawAttention() {
  find("head").textContent = `Layer ${chosen.layer}, ${headName(chosen.head)}. Each row looks; with the rest, it adds up to 1.`;
  const values = shownMatrix();
  attention.show({ values, range: [0, largest(values)], unit: "weight: the share that a row gives to a column", sparse: packed.columns !== null });
}

function drawWords() {
  plane.draw();
  near.draw();
}

watch(keys => {
  if (keys.has("shown") || keys.has("word")) {
    sentence.draw();
    drawWords();
    similarity.draw();
    attention.draw();
  }
  if (keys.has("layer") || keys.has("head")) {
    grid.mark();
    sentence.draw();
    drawAttention();
  }
});

function drawAll() {
  sentence.draw();
  grid.draw();
  drawSimilarity();
  drawAttention();
  drawWords();
}

document.querySelectorAll("[name=kind]").forEach(input => input.addEventListener("change", () => {
  kind = kinds[input.value];
  drawSimilarity();
}));

document.querySelectorAll("[name=theme]").forEach(input => input.addEventListener("change", () => {
  document.documentElement.dataset.theme = input.value;
  drawAll();
}));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
document.addEventListener("keydown", event => { if (event.key === "Escape") hideTip(); });
addEventListener("scroll", hideTip, { passive: true });

sentence.build();
grid.build();
plane.build();
drawAll();

let width = innerWidth;
addEventListener("resize", () => {
  if (innerWidth !== width) drawAll();
  width = innerWidth;
});
