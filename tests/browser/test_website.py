"""The website as a reader meets it: no broken link, no error in the console, no request to another
host, all figures there, nothing wider than a phone; search and enlarging work. axe looks at one
page of each kind, on a desktop and a phone, in light and in dark.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urldefrag

import nbformat
import pytest
from axe_playwright_python.base import AXE_FILE_PATH
from bs4 import BeautifulSoup
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request

from tools.website.__main__ import build, server
from tools.website.source import NOTEBOOKS, notebooks

DESKTOP, PHONE = (1440, 1000), (390, 844)
AXE = Path(AXE_FILE_PATH).read_text(encoding="utf-8")
# Thousands of pieces of code have thirty colours: of each, the first on a page is judged.
FEWER = """() => {
  const seen = new Set();
  for (const token of document.querySelectorAll('.highlight span[class]')) {
    if (seen.has(token.className)) token.replaceWith(token.textContent);
    seen.add(token.className);
  }
}"""
FINDINGS = """async () => {
  const { violations } = await axe.run({ preload: false, resultTypes: ['violations'] });
  const told = nodes => `${nodes[0].html.slice(0, 200)} and ${nodes.length - 1} more`;
  return violations.map(({ id, nodes }) => `${id}: ${told(nodes)}`);
}"""
FIGURES = """() => [...document.querySelectorAll('figure.enlarge img')].map(img =>
  img.naturalWidth <= 10 ? 'not drawn'
  : img.alt.length <= 20 ? 'not described'
  : getComputedStyle(img).filter !== 'none' ? 'dimmed' : '')"""
PICTURES = {"image/svg+xml", "image/png"}
OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def website(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a website built anew, without a warning."""
    target = tmp_path_factory.mktemp("website")
    assert build(target) == 0
    return target / "html"


@pytest.fixture(scope="module")
def address(website: Path) -> Iterator[str]:
    serving = server(website)
    Thread(target=serving.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{serving.server_port}/"
    serving.shutdown()
    serving.server_close()


class Watched:
    """A page whose console and requests are kept."""

    def __init__(self, browser: Browser, address: str, size: tuple[int, int], theme: str) -> None:
        width, height = size
        self.context: BrowserContext = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=theme, has_touch=width < 500
        )
        self.page: Page = self.context.new_page()
        self.troubles: list[str] = []
        self.page.on("console", self._spoken)
        self.page.on("pageerror", lambda error: self.troubles.append(f"error: {error}"))
        self.page.on("requestfailed", self._failed)
        self.page.on("request", lambda request: self._asked(request.url, address))

    def look(self, size: tuple[int, int], theme: str) -> None:
        """Change the size of the screen and the theme, and wait until the page has followed: its
        colours fade into each other, and one in between has too little contrast.
        """
        self.page.set_viewport_size({"width": size[0], "height": size[1]})
        self.page.emulate_media(color_scheme=theme)
        self.page.wait_for_function(f"document.documentElement.dataset.theme === '{theme}'")
        self.page.wait_for_function("document.getAnimations().length === 0")

    def close(self) -> None:
        self.context.close()

    def _spoken(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.troubles.append(f"console: {message.text}")

    def _failed(self, request: Request) -> None:
        """A request that the browser itself gave up, for the reader went on, has not failed."""
        if request.failure != "net::ERR_ABORTED":
            self.troubles.append(f"failed: {request.url} {request.failure}")

    def _asked(self, url: str, address: str) -> None:
        if not url.startswith((address, "data:", "blob:")):
            self.troubles.append(f"asks another host: {url}")


Opener = Callable[[str], Watched]


def files_of(website: Path) -> list[Path]:
    """Every page; the theme keeps templates among its own files, which are none."""
    found = sorted(website.rglob("*.html"))
    return [path for path in found if "_static" not in path.relative_to(website).parts]


def pages_of(website: Path) -> list[str]:
    return [path.relative_to(website).as_posix() for path in files_of(website)]


def anchors(text: str) -> set[str]:
    return {unquote(found) for found in re.findall(r'\b(?:id|name)="([^"]+)"', text)}


def broken_links(website: Path) -> list[str]:
    """Every link, picture, script and style of every page that leads nowhere within the site."""
    texts = {path: path.read_text(encoding="utf-8") for path in files_of(website)}
    known = {path: anchors(text) for path, text in texts.items()}
    broken = []
    for path, text in texts.items():
        soup = BeautifulSoup(text, "html.parser")
        used = [
            element[name]
            for name in ("href", "src")
            for element in soup.find_all(attrs={name: True})
        ]
        for link in used:
            place, anchor = urldefrag(link)
            if re.match(r"[a-z]+:", link):
                continue
            target = (path.parent / unquote(place.partition("?")[0])).resolve() if place else path
            if not target.is_file():
                broken.append(f"{path.name}: {link} leads nowhere")
            elif anchor and target in known and unquote(anchor) not in known[target]:
                broken.append(f"{path.name}: {link} has no such anchor")
    return broken


def test_no_link_is_broken(website: Path) -> None:
    assert broken_links(website) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "one.html").write_text('<a href="two.html#b">x</a> <img src="no.png">')
    (tmp_path / "two.html").write_text('<p id="a"></p>')
    assert broken_links(tmp_path.resolve()) == [
        "one.html: two.html#b has no such anchor",
        "one.html: no.png leads nowhere",
    ]


def test_there_is_a_page_for_every_notebook(website: Path) -> None:
    assert {f"lessons/{place.with_suffix('.html')}" for place in notebooks()} <= set(
        pages_of(website)
    )


def kinds_of_page(website: Path) -> list[str]:
    """One page of each kind: what axe says of one lesson, it says of all."""
    lesson = next(name for name in pages_of(website) if re.match(r"lessons/\d_\d", name))
    reference = next(name for name in pages_of(website) if re.match(r"reference/(?!index)", name))
    return ["index.html", lesson, "copy.html", "glossary.html", reference, "search.html"]


def accessibility(watched: Watched) -> list[str]:
    """What axe finds on the page that is open."""
    watched.page.evaluate(FEWER)
    watched.page.evaluate(AXE)
    return list(watched.page.evaluate(FINDINGS))


def too_wide(watched: Watched) -> list[str]:
    wider = watched.page.evaluate(OVERFLOW)
    return [f"the page is {wider} pixels wider than the screen"] if wider > 0 else []


def figures_missing(watched: Watched, expected: int) -> list[str]:
    """What is wrong with the figures of the page: drawn, described, not dimmed, and all there."""
    shown = watched.page.evaluate(FIGURES)
    wrong = [f"figure {number}: {told}" for number, told in enumerate(shown) if told]
    if len(shown) != expected:
        wrong.append(f"{len(shown)} figures, not {expected}")
    return wrong


def stored_figures(page: str) -> int:
    """How many figures a page must have: a lesson as many as its notebook, the start page one."""
    if not page.startswith("lessons/"):
        return int(page == "index.html")
    place = Path(page).relative_to("lessons").with_suffix(".ipynb")
    stored = nbformat.read(NOTEBOOKS / place, as_version=4)
    outputs = [output for cell in stored.cells for output in cell.get("outputs", [])]
    return sum(bool(PICTURES & output.get("data", {}).keys()) for output in outputs)


def troubles_of(watched: Watched, expected_figures: int) -> list[str]:
    """Everything that is wrong with the page that is open, except for what axe would say."""
    found = [*watched.troubles, *too_wide(watched), *figures_missing(watched, expected_figures)]
    watched.troubles.clear()
    return found


def test_every_page_is_quiet_and_whole(website: Path, address: str, browser: Browser) -> None:
    """Opened on a phone in the dark, where a page is most likely to be too wide or a figure dim."""
    watched = Watched(browser, address, PHONE, "dark")
    found = {}
    for name in pages_of(website):
        watched.page.goto(address + name, wait_until="load")
        trouble = troubles_of(watched, stored_figures(name))
        if trouble:
            found[name] = trouble
    watched.close()
    assert found == {}


def test_every_kind_of_page_is_accessible(website: Path, address: str, browser: Browser) -> None:
    """Each is opened once, and looked at on a desktop and a phone, in light and in dark."""
    watched = Watched(browser, address, DESKTOP, "light")
    found = {}
    for name in kinds_of_page(website):
        watched.page.goto(address + name, wait_until="load")
        for size, theme in product((DESKTOP, PHONE), ("light", "dark")):
            watched.look(size, theme)
            trouble = [*accessibility(watched), *too_wide(watched), *watched.troubles]
            watched.troubles.clear()
            if trouble:
                found[name, size, theme] = trouble
    watched.close()
    assert found == {}


SOUND = """<!doctype html><html lang="en"><head><title>Sound</title>
<link rel="icon" href="data:,"></head><body><main>
<h1>Sound</h1><figure class="enlarge"><a href="dot.svg"><img src="dot.svg" width="20"
alt="A black square, twenty pixels wide."></a></figure></main></body></html>"""
DOT = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="20" height="20"><path d="M0 0H20V20H0Z"/></svg>'
)
BROKEN = {
    "console: so it is heard": (
        "</main>",
        "</main><script>console.error('so it is heard')</script>",
    ),
    "error: nobody": ("</main>", "</main><script>throw 'nobody'</script>"),
    "asks another host: http://192.0.2.1/": (
        "</main>",
        "</main><script>fetch('http://192.0.2.1/').catch(() => 0)</script>",
    ),
    "failed: http://127.0.0.1:1/": ("</main>", "<img src='http://127.0.0.1:1/' alt='x'></main>"),
    "pixels wider than the screen": ("<h1>", "<h1 style='width: 2000px'>"),
    "figure 0: not drawn": ('src="dot.svg"', 'src="no.svg"'),
    "figure 0: not described": ("A black square, twenty pixels wide.", "figure"),
    "figure 0: dimmed": ("<img ", "<img style='filter: brightness(.8)' "),
    "0 figures, not 1": (' class="enlarge"', ""),
}


@pytest.fixture(scope="module")
def open_page(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opener]:
    """Opens the text of a page that stands for itself, with a picture beside it."""
    folder = tmp_path_factory.mktemp("broken")
    (folder / "dot.svg").write_text(DOT)
    serving = server(folder)
    Thread(target=serving.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{serving.server_port}/"
    opened = []

    def open_it(text: str) -> Watched:
        (folder / "page.html").write_text(text)
        opened.append(Watched(browser, address, PHONE, "dark"))
        opened[-1].page.goto(address + "page.html", wait_until="load")
        return opened[-1]

    yield open_it
    for watched in opened:
        watched.close()
    serving.shutdown()
    serving.server_close()


def test_a_sound_page_has_no_trouble(open_page: Opener) -> None:
    watched = open_page(SOUND)
    assert [*accessibility(watched), *troubles_of(watched, 1)] == []


@pytest.mark.parametrize("trouble", BROKEN)
def test_what_is_wrong_with_a_page_is_found(open_page: Opener, trouble: str) -> None:
    watched = open_page(SOUND.replace(*BROKEN[trouble]))
    assert trouble in " ".join(troubles_of(watched, 1))


def test_what_is_not_accessible_is_found(open_page: Opener) -> None:
    unnamed = SOUND.replace("A black square, twenty pixels wide.", "")
    pale = SOUND.replace("<h1>", "<h1 style='color: #999; background: #fff'>")
    assert any(finding.startswith("link-name") for finding in accessibility(open_page(unnamed)))
    assert any(finding.startswith("color-contrast") for finding in accessibility(open_page(pale)))


def test_a_figure_opens_at_full_size_and_closes_again(address: str, browser: Browser) -> None:
    watched = Watched(browser, address, PHONE, "light")
    watched.page.goto(address)
    watched.page.tap("figure.enlarge a")
    enlarged = watched.page.locator("dialog.enlarged img")
    assert enlarged.bounding_box()["width"] >= 800
    watched.page.evaluate(AXE)
    assert watched.page.evaluate(FINDINGS) == []
    watched.page.keyboard.press("Escape")
    assert watched.page.locator("dialog.enlarged").count() == 0
    assert watched.page.evaluate("document.activeElement.matches('figure.enlarge a')")
    watched.close()


def test_search_finds_a_lesson_by_its_words(address: str, browser: Browser) -> None:
    watched = Watched(browser, address, DESKTOP, "light")
    watched.page.goto(address + "search.html?q=outbox", wait_until="load")
    watched.page.wait_for_selector("#search-results li a[href*='lessons/']")
    assert watched.troubles == []
    watched.close()
