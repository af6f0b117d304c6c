"""What Sphinx is taught for the website: formulas as MathML, words of Spanish, code in docstrings.

Browsers draw MathML by themselves, so a formula needs no script and no font from elsewhere. Spanish
words say that they are Spanish, so that a screen reader pronounces them as such. In docstrings
`code` stands between single backticks and tables have bars, as in Markdown; a name links to
where it is explained.
Two things in the theme's HTML that a screen reader cannot make sense of are mended.
Leaves out: macros and numbered equations."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.docutils import SphinxRole
from sphinx.writers.html5 import HTML5Translator

_CODE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_TABLE = re.compile(r"^\|.+\|\n\|[-:| ]+\|(?:\n\|.+\|)+$", re.M)
_NAME = re.compile(r"[A-Za-z_][\w.]*")
_NAMED_OBJECT = re.compile(r"<(?:function |class ')(?:\w+\.)*(\w+)'?>")


class Spanish(SphinxRole):
    """The role `es`: a word of Spanish."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        words = nodes.raw("", f'<span lang="es">{escape(self.text)}</span>', format="html")
        return [words], []


def inline(translator: HTML5Translator, node: nodes.math) -> None:
    """A formula in a sentence."""
    translator.body.append(convert(node.astext(), display="inline"))
    raise nodes.SkipNode


def block(translator: HTML5Translator, node: nodes.math_block) -> None:
    """A formula on lines of its own."""
    formula = convert(node.astext(), display="block")
    translator.body.append(f'<div class="math" tabindex="0">{formula}</div>')
    raise nodes.SkipNode


def code_in_docstrings(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Turn `code` in a docstring into what reStructuredText calls a literal, or a reference, and a
    table of Markdown into one of its own.
    """
    text = _TABLE.sub(_list_table, "\n".join(lines))
    lines[:] = _CODE.sub(_literal, text).split("\n")


def _list_table(table: re.Match[str]) -> str:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[0].splitlines()]
    del rows[1]  # the dashes
    parts = [".. list-table::", "   :header-rows: 1", ""]
    for first, *others in rows:
        parts += [f"   * - {first}", *(f"     - {cell}" for cell in others)]
    return "\n".join(parts)


def _literal(code: re.Match[str]) -> str:
    text = " ".join(code[1].split())
    role = f":py:obj:`{text}`" if _NAME.fullmatch(text) else f"``{text}``"
    return rf"\ {role}\ "


def defaults_by_name(
    app: Sphinx,
    what: str,
    name: str,
    obj: object,
    options: object,
    signature: str | None,
    returns: str | None,
) -> tuple[str | None, str | None]:
    """Write a default that is a function or a class as its name, and one that a factory makes as
    three dots. Sphinx cannot read `<function ignore>`, and then shortens no type in the signature.
    """
    if signature is not None:
        signature = _NAMED_OBJECT.sub(r"\1", signature).replace("= <factory>", "= ...")
    return signature, returns


def readable(html: str) -> str:
    """A page in which every button has a name, and parameters stand in no list of definitions."""
    named = '<summary aria-label="Show the pages below"><span class="toctree-toggle"'
    html = html.replace('<summary><span class="toctree-toggle"', named)
    parameters = re.compile(r'<dl>\s*(<dd><em class="sig-param.*?)</dl>', re.S)
    html = parameters.sub(r"<span>\1</span>", html)
    parameter = re.compile(r'<dd>(<em class="sig-param.*?)</dd>', re.S)
    return parameter.sub(r'<span class="parameter">\1</span>', html)


def _mend(app: Sphinx, failure: Exception | None) -> None:
    for path in Path(app.outdir).rglob("*.html"):
        before = path.read_text(encoding="utf-8")
        after = readable(before)
        if after != before:
            path.write_text(after, encoding="utf-8")


def _with_pictures(app: Sphinx, config: Config) -> None:
    config.html_static_path.append(str(app.srcdir / "pictures"))


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    app.add_role("es", Spanish())
    app.connect("config-inited", _with_pictures)
    app.connect("autodoc-process-docstring", code_in_docstrings)
    app.connect("autodoc-process-signature", defaults_by_name)
    app.connect("build-finished", _mend)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
