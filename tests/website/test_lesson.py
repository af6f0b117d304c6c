"""A notebook becomes a page: figures, terms and links."""

from __future__ import annotations

import base64
from pathlib import PurePosixPath

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools.website.lesson import Page
from tools.website.markup import code_in_docstrings, readable
from tools.website.terms import Entry, Glossary

SVG = (
    '<svg viewBox="0 0 72 36"><title id="t">Sold twice</title>'
    '<desc id="d">a sells &amp; b sells</desc></svg>'
)
IMG = (
    '<img alt="a sells &amp;amp; b sells" style="max-width:100%" '
    f'src="data:image/svg+xml;base64,{base64.b64encode(SVG.encode()).decode()}">'
)
GLOSSARY = Glossary((Entry("outbox", "bandeja de salida", "A table."),), frozenset())


def page(path: str = "lessons/one.ipynb") -> Page:
    places = {"lessons/one.ipynb", "lessons/two.ipynb", "lessons/solutions/one.ipynb"}
    return Page(PurePosixPath(path), {PurePosixPath(place) for place in places}, GLOSSARY)


def output_of(data: dict[str, str]) -> tuple[str, Page]:
    rendered = page()
    output = new_output("display_data", data=data)
    notebook = new_notebook(cells=[new_code_cell("draw()", outputs=[output])])
    read = nbformat.reads(rendered.rendered(notebook), as_version=4)
    return read.cells[0].outputs[0]["data"].get("text/html", ""), rendered


def text_of(markdown: str, path: str = "lessons/one.ipynb") -> str:
    notebook = new_notebook(cells=[new_markdown_cell(text) for text in markdown.split("\f")])
    read = nbformat.reads(page(path).rendered(notebook), as_version=4)
    return "\f".join(cell.source for cell in read.cells)


def test_a_figure_is_a_file_with_alternative_text_and_a_link_that_enlarges_it() -> None:
    html, rendered = output_of({"image/svg+xml": SVG, "text/plain": "Sold twice"})
    ((name, content),) = rendered.pictures.items()
    assert content == SVG.encode()
    assert 'alt="a sells &amp; b sells"' in html
    assert 'width="96" height="48"' in html
    assert html.count(f'"../_static/{name}"') == 2


def test_a_figure_that_is_an_image_in_html_keeps_its_words() -> None:
    html, rendered = output_of({"text/html": IMG, "image/svg+xml": SVG})
    assert list(rendered.pictures.values()) == [SVG.encode()]
    assert 'alt="a sells &amp;amp; b sells"' in html
    assert "base64" not in html


def test_a_measured_figure_is_described_by_its_title() -> None:
    png = base64.b64encode(b"\x89PNG").decode()
    html, rendered = output_of({"image/png": png, "text/plain": "Slower\n(measured)"})
    assert 'alt="Slower"' in html
    assert list(rendered.pictures.values()) == [b"\x89PNG"]


def test_the_first_mention_of_a_term_links_to_the_glossary() -> None:
    text = text_of("An **outbox** keeps it.\fThe **outbox** again, and a **relay**.")
    assert text == (
        "An **{term}`outbox <outbox>`** keeps it.\fThe **outbox** again, and a **relay**."
    )


def test_a_link_to_what_is_no_page_becomes_text() -> None:
    text = "[next](two.ipynb), [code](../labkit/locks), [here](#a), [web](https://redis.io)"
    assert text_of(text) == ("[next](two.ipynb), code, [here](#a), [web](https://redis.io)")
    assert text_of("[up](../two.ipynb)", "lessons/solutions/one.ipynb") == "[up](../two.ipynb)"


def test_names_for_buttons_and_no_list_without_terms() -> None:
    toggle = '<summary><span class="toctree-toggle"></span></summary>'
    assert 'aria-label="Show the pages below"' in readable(toggle)
    parameters = (
        '<dl>\n<dd><em class="sig-param">a</em></dd>\n<dd><em class="sig-param">b</em></dd></dl>'
    )
    assert "<dl>" not in readable(parameters)
    assert readable(parameters).count('<span class="parameter">') == 2
    assert readable("<dl><dt>a</dt><dd>b</dd></dl>") == "<dl><dt>a</dt><dd>b</dd></dl>"


def test_a_table_in_a_docstring_becomes_one_of_restructuredtext() -> None:
    lines = ["Files.", "", "| file | holds |", "|---|---|", "| `a`, b | x |", "", "The end."]
    code_in_docstrings(None, "module", "m", None, None, lines)
    literal = r"\ :py:obj:`a`\ "
    assert lines[2:9] == [
        ".. list-table::",
        "   :header-rows: 1",
        "",
        "   * - file",
        "     - holds",
        f"   * - {literal}, b",
        "     - x",
    ]
    assert lines[9:] == ["", "The end."]
