"""The website as a reader meets it: no broken link, no error in the console, no request to another
host, no finding of axe on a desktop and a phone, in light and in dark; search and enlarging work.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urldefrag

import pytest
from axe_playwright_python.base import AXE_FILE_PATH
from bs4 import BeautifulSoup
from playwright.sync_api import Browser, BrowserContext, Page

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
        self.page.on(
            "requestfailed", lambda request: self.troubles.append(f"failed: {request.url}")
        )
        self.page.on("request", lambda request: self._asked(request.url, address))

    def look(self, size: tuple[int, int], theme: str) -> None:
        """Change the size of the screen and the theme, and wait until the page has followed."""
        self.page.set_viewport_size({"width": size[0], "height": size[1]})
        self.page.emulate_media(color_scheme=theme)
        self.page.wait_for_function(f"document.documentElement.dataset.theme === '{theme}'")

    def close(self) -> None:
        self.context.close()

    def _spoken(self, message: object) -> None:
        if message.type in ("error", "warning"):
            self.troubles.append(f"console: {message.text}")

    def _asked(self, url: str, address: str) -> None:
        if not url.startswith((address, "data:", "blob:")):
            self.troubles.append(f"asks another host: {url}")


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


def test_every_page_is_accessible_and_quiet(website: Path, address: str, browser: Browser) -> None:
    """Each page is opened once, and looked at on a desktop and a phone, in light and in dark."""
    watched = Watched(browser, address, DESKTOP, "light")
    found = {}
    for name in pages_of(website):
        watched.page.goto(address + name, wait_until="load")
        watched.page.evaluate(FEWER)
        watched.page.evaluate(AXE)
        for size, theme in product((DESKTOP, PHONE), ("light", "dark")):
            watched.look(size, theme)
            trouble = [*watched.page.evaluate(FINDINGS), *watched.troubles]
            if watched.page.evaluate(OVERFLOW) > 0:
                trouble.append("the page is wider than the screen")
            watched.troubles.clear()
            if trouble:
                found[name, size, theme] = trouble
    watched.close()
    assert found == {}


def test_what_is_not_accessible_is_found(address: str, browser: Browser) -> None:
    watched = Watched(browser, address, DESKTOP, "light")
    watched.page.goto(address)
    watched.page.evaluate("document.querySelector('figure img').alt = ''")
    watched.page.evaluate("console.error('so it is heard')")
    watched.page.evaluate("fetch('http://192.0.2.1/').catch(() => 0)")
    watched.page.evaluate(AXE)
    findings = watched.page.evaluate(FINDINGS)
    watched.close()
    assert any(finding.startswith("link-name") for finding in findings)
    assert "console: so it is heard" in watched.troubles
    assert "asks another host: http://192.0.2.1/" in watched.troubles


def test_every_figure_of_every_lesson_is_on_its_page(
    website: Path, address: str, browser: Browser
) -> None:
    watched = Watched(browser, address, DESKTOP, "dark")
    for place in notebooks():
        stored = (NOTEBOOKS / place).read_text(encoding="utf-8")
        expected = len(re.findall(r'"image/svg\+xml": |"image/png": ', stored))
        watched.page.goto(f"{address}lessons/{place.with_suffix('.html')}", wait_until="load")
        shown = watched.page.evaluate(
            "() => [...document.querySelectorAll('figure.enlarge img')].map(img =>"
            " [img.naturalWidth > 10, img.alt.length > 20, getComputedStyle(img).filter])"
        )
        assert shown == [[True, True, "none"]] * expected, place
    watched.close()


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
