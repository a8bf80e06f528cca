#!/usr/bin/env python3
"""The page of `selfattn explain --html` in a real browser: python3 tests/browser/page.py SELFATTN [--model DIR] [--screenshots DIR]

Needs Chromium (Debian: chromium) and nothing else. The numbers on the page are held against those of `explain --json`.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

from chromium import Browser

STORY = Path(__file__).parents[1] / "cli/story.txt"
# Name: the arguments of `explain`.
PAGES = {
    "short": ["I love Apple Watch", "--near", "juice,fruit,smart,technology,gadget"],
    "middle": ["She sat on the bank of the river and counted her money, while the bank across the street lent it to a crane."],
    "hostile": ["bank </script><script>console.log('broken out')</script><img src=x onerror=alert(1)> <!-- &amp; \"quoted\" river"],
    "scripts": ["השפה העברית היא שפה שמית, bank of the river والعربية لغة جميلة 東京 👩‍👩‍👧 🍎"],
    "long": ["--in", str(STORY)],
}
# The longest page may have so many bytes; the documentation says so.
LARGEST = 8_000_000
# Contrast of text and ground, by the Web Content Accessibility Guidelines, level AA.
CONTRAST = 4.5


def run(program, args):
    return subprocess.run([program, "explain", *args], check=True, capture_output=True, text=True).stdout


def loads_clean(browser, path):
    browser.problems.clear()
    browser.requests.clear()
    browser.open(path)
    browser.frame()
    check_clean(browser, path)


def check_clean(browser, path):
    assert not browser.problems, browser.problems
    others = [url for url in browser.requests if url != path.resolve().as_uri()]
    assert not others, f"the page asks for {others}"


def fits(browser):
    wide, room = browser.run("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide <= room, f"{wide} pixels wide on a screen of {room}"


def shown_weights(browser):
    return browser.run("[...document.querySelectorAll('[data-word]')].map(node => Number(node.dataset.weight))")


def same(got, expected, bound=0.00052):
    assert len(got) == len(expected) and all(abs(a - b) <= bound for a, b in zip(got, expected)), f"{got} for {expected}"


def hover_shows_the_weights(browser, attention, words):
    for i, name in enumerate(words):
        browser.point(*browser.middle("[data-word]", i))
        browser.frame()
        same(shown_weights(browser), attention["weights"][i])
        looks = browser.run("document.querySelector('#looks').textContent").replace("\u2068", "").replace("\u2069", "")
        assert looks.startswith(f"{name} looks at") and f"rest {attention['rest'][i]:.3f}" in looks, looks
    # The words that get more are painted stronger: darker on light ground.
    light = browser.run("""[...document.querySelectorAll('[data-word]')].map(node =>
        getComputedStyle(node).backgroundColor.match(/\\d+/g).map(Number).reduce((a, b) => a + b))""")
    row = attention["weights"][len(words) - 1]
    order = sorted(range(len(row)), key=lambda j: row[j])
    assert all(light[a] >= light[b] for a, b in zip(order, order[1:])), (light, row)
    browser.point(2, 2)


def a_head_is_chosen(browser, attention, words):
    for head in attention["per_head"]:
        if (head["layer"], head["head"]) not in [(0, 0), (attention["layers"] - 1, attention["heads"] - 1)]:
            continue
        at = head["layer"] * (attention["heads"] + 1) + head["head"]
        browser.click(*browser.middle("#heads button", at))
        browser.point(*browser.middle("[data-word]", len(words) - 1))
        browser.frame()
        same(shown_weights(browser), head["weights"][-1])
        title = browser.run("document.querySelector('#chosen').textContent")
        assert title == f"Layer {head['layer']}, head {head['head']}", title
    browser.point(2, 2)


def the_keyboard_does_it_too(browser, report):
    attention = report["attention"]
    browser.run("document.querySelector('[data-word][tabindex=\"0\"]').focus()")
    browser.press("Home")
    browser.press("ArrowRight")
    browser.frame()
    assert browser.run("document.activeElement.dataset.word") == "1"
    last = attention["per_head"][-1]
    same(shown_weights(browser), last["weights"][1])
    # On to the heads, and one to the right of the last: the mean.
    browser.press("Tab")
    browser.press("ArrowRight")
    browser.frame()
    assert "mean" in browser.run("document.activeElement.getAttribute('aria-label')")
    same(shown_weights(browser), attention["weights"][1])
    assert browser.run("document.querySelectorAll('[data-word][tabindex=\"0\"]').length") == 1, "one stop for all words"


def a_matrix_tells_its_values(browser, report, words):
    for box, matrix in [("#attention", report["attention"]["weights"]), ("#similarity", report["similarity"])]:
        browser.middle(f"{box} canvas")
        cell = f"""(([i, j]) => {{
            const matrix = {'attention' if box == '#attention' else 'similarity'};
            const {{left, top}} = matrix.canvas.getBoundingClientRect();
            return [left + matrix.left + (j + 0.5) * matrix.cell, top + matrix.top + (i + 0.5) * matrix.cell];
        }})"""
        for i, j in [(0, 1), (2, 3)]:
            browser.point(*browser.run(f"{cell}([{i}, {j}])"))
            tells(browser, words, matrix, i, j)
        browser.run(f"document.querySelector('{box} canvas').focus()")
        browser.press("ArrowLeft")
        browser.press("ArrowLeft")
        tells(browser, words, matrix, 2, 1)
        browser.point(2, 2)


def tells(browser, words, matrix, i, j):
    text = browser.run("document.querySelector('#tip').textContent").replace("\u2212", "-")
    names, value = text.replace("\u2068", "").replace("\u2069", "").rsplit(None, 1)
    assert names == f"{words[i]} → {words[j]}:" and not browser.run("document.querySelector('#tip').hidden"), text
    assert abs(float(value) - matrix[i][j]) <= 0.00052, f"{value} for {matrix[i][j]}"


def the_plane_has_all_words(browser, words):
    for i in [0, 1]:
        browser.click(*browser.middle("#maps label", i))
        circles = browser.run("document.querySelectorAll('#plane circle[data-point]').length")
        assert circles == 2 * len(words), circles
        inside = browser.run("""(() => {
            const frame = document.querySelector('#plane .axes rect').getBoundingClientRect();
            return [...document.querySelectorAll('#plane circle[data-point]')].every(node => {
                const {left, top, width, height} = node.getBoundingClientRect();
                const [x, y] = [left + width / 2, top + height / 2];
                return x >= frame.left && x <= frame.right && y >= frame.top && y <= frame.bottom;
            });
        })()""")
        assert inside, "a point is outside the axes"
    browser.click(*browser.middle("#maps label", 0))


def colours(browser):
    """Contrasts of texts, and how light the ground is."""
    return browser.run("""(() => {
        const rgb = text => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
        const light = text => {
            const [r, g, b] = rgb(text).map(x => x / 255 <= 0.04045 ? x / 255 / 12.92 : ((x / 255 + 0.055) / 1.055) ** 2.4);
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const ground = node => {
            for (; node; node = node.parentElement) {
                const colour = getComputedStyle(node).backgroundColor;
                if (colour !== "rgba(0, 0, 0, 0)") return colour;
            }
        };
        const contrast = node => {
            const [a, b] = [light(getComputedStyle(node).color), light(ground(node.matches("small") ? find("words") : node))];
            return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        };
        const texts = [...document.querySelectorAll("h1, h2, p, button.word, small, label span, .title, .legend, li .value, li bdi, footer p")];
        const worst = texts.filter(node => node.textContent.trim()).map(node => [contrast(node), node.tagName + " " + node.textContent.slice(0, 30)]);
        return {worst: worst.sort((a, b) => a[0] - b[0])[0], ground: light(getComputedStyle(document.body).backgroundColor)};
    })()""")


def light_and_dark(browser, path):
    for scheme, theme, dark in [("light", "", False), ("dark", "", True), ("light", "dark", True), ("dark", "light", False)]:
        browser.prefer(scheme)
        loads_clean(browser, path)
        if theme:
            browser.click(*browser.middle("#theme label", ["", "light", "dark"].index(theme)))
            browser.frame()
        found = colours(browser)
        assert (found["ground"] < 0.2) == dark, f"{scheme} {theme}: {found}"
        assert found["worst"][0] >= CONTRAST, f"{scheme} {theme}: {found}"
    browser.prefer("light")


def on_a_phone(browser, path, report):
    browser.size(360, 740, mobile=True, density=2)
    loads_clean(browser, path)
    fits(browser)
    browser.tap(*browser.middle("[data-word]", 1))
    browser.frame()
    same(shown_weights(browser), report["attention"]["weights"][1])
    browser.size(1280, 900)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--screenshots", type=Path, help="keep pictures of the pages there")
    args = parser.parse_args()
    program, model = args.program.resolve(), ["--model", args.model] if args.model else []
    with tempfile.TemporaryDirectory() as folder, Browser() as browser:
        browser.size(1280, 900)
        browser.prefer("light")
        for name, words in PAGES.items():
            path = Path(folder) / f"{name}.html"
            report = json.loads(run(program, [*words, *model, "--json", "--html", str(path)]))
            check(browser, name, path, report)
            print(f"{name}: {len(report['words'])} words, {path.stat().st_size:,} bytes")
            if args.screenshots:
                photograph(browser, path, args.screenshots)


def check(browser, name, path, report):
    assert path.stat().st_size <= LARGEST
    words = [word["word"] for word in report["words"]]
    loads_clean(browser, path)
    fits(browser)
    assert browser.run("[...document.querySelectorAll('[data-word] bdi')].map(node => node.textContent)") == words
    if name != "long":
        hover_shows_the_weights(browser, report["attention"], words)
    if name == "short":
        a_head_is_chosen(browser, report["attention"], words)
        the_keyboard_does_it_too(browser, report)
        a_matrix_tells_its_values(browser, report, words)
        light_and_dark(browser, path)
    if name == "scripts":
        assert browser.run("document.querySelector('#words').dir") == "rtl"
    the_plane_has_all_words(browser, words)
    check_clean(browser, path)
    if name == "long":
        browser.size(360, 740, mobile=True, density=2)
        loads_clean(browser, path)
        fits(browser)
        browser.size(1280, 900)
    else:
        on_a_phone(browser, path, report)


def photograph(browser, path, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for look, scheme, size in [("light", "light", (1280, 900)), ("dark", "dark", (1280, 900)), ("phone", "light", (390, 844, True, 2))]:
        browser.prefer(scheme)
        browser.size(*size)
        loads_clean(browser, path)
        browser.screenshot(folder / f"{path.stem}-{look}.png")
    browser.prefer("light")
    browser.size(1280, 900)


if __name__ == "__main__":
    main()
