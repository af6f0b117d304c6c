"""One JupyterLab and one Chromium for all browser tests; a new page for each."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.reader import PAGE_HEIGHT
from tests.browser.server import Lab, jupyterlab
from tools.notebooks import ROOT

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
OPTIONS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-proxy-server"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--dark", action="store_true", help="take screenshots on JupyterLab's dark theme as well"
    )


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with jupyterlab(ROOT / "notebooks", tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture(scope="session")
def fresh_clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab on the lessons as a clone has them: with stored outputs, which it does not trust."""
    scratch = tmp_path_factory.mktemp("fresh")
    with jupyterlab(ROOT / "notebooks", scratch, stripped=False) as running:
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if chromium is None:
        pytest.fail("no Chromium: apt-get install chromium, or name one in CHROMIUM", pytrace=False)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, headless=True, args=OPTIONS)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 1400, "height": PAGE_HEIGHT})
    opened.set_default_timeout(60_000)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def screenshots() -> Path:
    """The folder for the pictures of this session, emptied of the last one's."""
    folder = ROOT / "screenshots"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder
