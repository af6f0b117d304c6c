"""The source of the website for Sphinx: pages written from the notebooks, the README, the glossary
and labkit.
"""

from __future__ import annotations

import importlib
import re
import tomllib
from html import escape
from pathlib import Path, PurePosixPath

import nbformat

from labkit.course.lessons import lessons
from tools.website import readme
from tools.website.copying import Copy, copies
from tools.website.lesson import Page
from tools.website.terms import Glossary, read_glossary

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
WORDS = Path(__file__).with_name("words")


def write_source(folder: Path) -> None:
    """Write all pages into a folder. A file whose content is the same keeps its time, so that
    Sphinx builds anew only what changed; files that no longer belong there go.
    """
    files = all_pages()
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file() and path.relative_to(folder).as_posix() not in files:
            path.unlink()
    for name, content in files.items():
        path = folder / name
        if not path.is_file() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def all_pages() -> dict[str, bytes]:
    """The content of every file of the source, by its path."""
    glossary, text = read_glossary(), readme.README.read_text(encoding="utf-8")
    found = notebooks()
    pages = {
        place: Page(PurePosixPath("lessons", *place.parts), _below_lessons(found), glossary)
        for place in found
    }
    files: dict[str, str] = {}
    pictures: dict[str, bytes] = {}
    for place, page in pages.items():
        notebook = nbformat.read(NOTEBOOKS / place, as_version=4)
        files[f"lessons/{place}"] = page.rendered(notebook)
        pictures |= page.pictures
    packages = readme.packages(text)
    start = Page(PurePosixPath("index"), set(), glossary)
    files["index.md"] = start_page(start, text, found)
    files["glossary.md"] = glossary_page(glossary, pages, readme.rows(text))
    files["copy.md"] = copy_page([name for name in packages if name in patterns()])
    files["reference/index.md"] = reference_index(packages)
    for package in in_course_order(packages):
        files[f"reference/{package.rpartition('.')[2]}.md"] = reference_page(package)
    pictures |= start.pictures
    return {name: content.encode() for name, content in files.items()} | {
        f"pictures/{name}": content for name, content in pictures.items()
    }


def words(name: str) -> str:
    """The words of a page that come from nowhere else in the repository."""
    return (WORDS / f"{name}.md").read_text(encoding="utf-8")


def notebooks() -> list[PurePosixPath]:
    """The notebooks in the order of the course, solutions last, as places among the notebooks."""
    paths = [path for path in NOTEBOOKS.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts]
    places = (PurePosixPath(path.relative_to(NOTEBOOKS).as_posix()) for path in paths)
    return sorted(places, key=lambda place: (len(place.parts), place))


def _below_lessons(places: list[PurePosixPath]) -> set[PurePosixPath]:
    return {PurePosixPath("lessons", place) for place in places}


def patterns() -> list[str]:
    """The packages that one would deploy: those that the first import contract keeps from the
    bench.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = project["tool"]["importlinter"]["contracts"][0]
    return list(contract["source_modules"])


def in_course_order(packages: list[str]) -> list[str]:
    """The packages that have a public list of names: patterns first, then the bench."""
    public = [name for name in packages if hasattr(importlib.import_module(name), "__all__")]
    own = patterns()
    return sorted(public, key=lambda name: (name not in own, name == "labkit.course"))


def start_page(page: Page, text: str, found: list[PurePosixPath]) -> str:
    """Title, picture and pitch from the README, then the map of the lessons."""
    title, paragraphs = readme.introduction(text)
    parts = [f"# {title}"]
    for paragraph in paragraphs:
        picture = re.fullmatch(r"!\[(.+?)\]\((.+?)\)", paragraph, re.S)
        if picture:
            parts.append(page.figure((ROOT / picture[2]).read_bytes(), "svg", picture[1]))
        else:
            parts.append(paragraph)
    cards = "\n".join(card(row) for row in readme.rows(text))
    parts += ["## The lessons", f'<ol class="map">\n{cards}\n</ol>', words("start")]
    lesson_pages = [
        f"{numbered(row)} <lessons/{row.file.removesuffix('.ipynb')}>" for row in readme.rows(text)
    ]
    solutions = [f"lessons/{place}" for place in found if len(place.parts) > 1]
    parts += [
        toctree("Lessons", lesson_pages),
        toctree("For your own code", ["copy", "reference/index"]),
        toctree("To look up", ["glossary"]),
        toctree("Solutions", solutions),
    ]
    return "\n\n".join(parts) + "\n"


def card(row: readme.Row) -> str:
    """A lesson on the map: its number, title, minutes, and the problem it starts from."""
    number = number_of(row)
    title = without_number(row.title)
    page = "lessons/" + row.file.removesuffix(".ipynb") + ".html"
    exercises = f", exercises {escape(row.exercises)} min" if row.exercises else ""
    section = f'<p class="section" lang="es">{escape(row.section)}</p>' if row.section else ""
    return (
        f'<li><a href="{page}"><span class="number">{escape(number)}</span>'
        f'<span class="title">{escape(title)}</span></a> '
        f'<span class="minutes">{escape(row.minutes)} min{exercises}</span>'
        f'<p class="problem">{_plain(problem(NOTEBOOKS / row.file))}</p>{section}</li>'
    )


def numbered(row: readme.Row) -> str:
    """A lesson's title with the whole of its number."""
    return f"{number_of(row)} {without_number(row.title)}"


def number_of(row: readme.Row) -> str:
    """The number of a lesson, as its notebook's name says."""
    (number,) = (each.number for each in lessons(NOTEBOOKS) if each.title == row.title)
    return number


def without_number(title: str) -> str:
    """The title without the number that it may begin with."""
    return re.sub(r"^[\d.]+[a-z]?[\s:·]+", "", title)


def problem(path: Path) -> str:
    """The first paragraph under a lesson's title."""
    head = nbformat.read(path, as_version=4).cells[0].source
    return str(re.split(r"\n{2,}", head.strip())[1])


def _plain(markdown: str) -> str:
    """A paragraph of Markdown as HTML: code and emphasis, links as their words."""
    text = escape(re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", markdown), quote=False)
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
    text = re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", text)
    return re.sub(r"\*([^*]+)\*", r"<em>\1</em>", text)


def glossary_page(
    glossary: Glossary, pages: dict[PurePosixPath, Page], rows: list[readme.Row]
) -> str:
    """The terms with their meaning and the first lesson of each, then the Spanish ones."""
    parts = [words("glossary"), "```{glossary}"]
    for entry in glossary.entries:
        first = next(
            (row for row in rows if entry.term in pages[PurePosixPath(row.file)].terms), None
        )
        link = f"[{numbered(first)}](lessons/{first.file})" if first else "a solution"
        meaning = f"{entry.meaning} First met in {link}."
        parts.append(f"{entry.term}\n  {{es}}`{entry.spanish}`\n\n  {meaning}\n")
    parts += ["```", "", "## Del español al inglés", ""]
    by_spanish = sorted(glossary.entries, key=lambda entry: entry.spanish.lower())
    parts += ["| español | English |", "|---|---|"]
    parts += [f"| {{es}}`{each.spanish}` | {{term}}`{each.term}` |" for each in by_spanish]
    return "\n".join(parts) + "\n"


def copy_page(packages: list[str]) -> str:
    """What to copy for each public class of the patterns."""
    parts = [words("copy")]
    for package in packages:
        found = copies(package)
        if not found:
            continue
        parts += [f"## {package.rpartition('.')[2]}", first_sentence(package)]
        parts += ["\n".join([COPY_TABLE, *(copy_row(package, each) for each in found)])]
        parts += [copy_details(same) for same in with_same_files(found)]
    return "\n\n".join(parts) + "\n"


COPY_TABLE = "| class | files | lines | packages |\n|---|--:|--:|---|"


def copy_row(package: str, copy: Copy) -> str:
    needed = ", ".join(copy.packages) or "none"
    name = f"{{py:class}}`~{package}.{copy.name}`"
    return f"| {name} | {len(copy.files)} | {copy.lines:,} | {needed} |"


def with_same_files(found: list[Copy]) -> list[list[Copy]]:
    """The classes in groups that need the same files."""
    groups: dict[tuple[str, ...], list[Copy]] = {}
    for copy in found:
        groups.setdefault(copy.files, []).append(copy)
    return list(groups.values())


def copy_details(same: list[Copy]) -> str:
    names = ", ".join(f"<code>{copy.name}</code>" for copy in same)
    files = "\n".join(f"<li><code>{escape(name)}</code></li>" for name in same[0].files)
    imports = "\n".join(f"from {copy.module} import {copy.name}" for copy in same)
    summary = f"<summary>The files of {names}</summary>"
    return f"<details>{summary}\n<pre>{imports}</pre>\n<ul>\n{files}\n</ul>\n</details>"


def reference_index(packages: list[str]) -> str:
    """The packages in the order of the course, with what each is for."""
    ordered = in_course_order(packages)
    own = patterns()
    parts = ["# Reference", REFERENCE_HEAD]
    groups = {
        "Code one would deploy": [name for name in ordered if name in own],
        "The bench, and what lessons are made of": [name for name in ordered if name not in own],
    }
    for caption, names in groups.items():
        lines = (
            f"- [`{name}`]({name.rpartition('.')[2]}.md): {first_sentence(name)}" for name in names
        )
        parts += [f"## {caption}", "\n".join(lines)]
    parts.append(toctree("", [name.rpartition(".")[2] for name in ordered]))
    return "\n\n".join(parts) + "\n"


REFERENCE_HEAD = "The public names of `labkit`, from their docstrings, in the order of the course."


def reference_page(package: str) -> str:
    """Every public name of a package."""
    module = importlib.import_module(package)
    blocks = [f".. automodule:: {package}\n   :no-members:\n"]
    for name in module.__all__:
        value = getattr(module, name)
        home = ".".join(getattr(value, "__module__", package).split(".")[:2])
        if home != package and home.startswith("labkit."):
            blocks.append(f":py:obj:`{name} <{home}.{name}>` is the one of ``{home}``.\n")
        else:
            blocks.append(f".. auto{_kind(value)}:: {package}.{name}\n")
    return f"# {package}\n\n```{{eval-rst}}\n" + "\n".join(blocks) + "```\n"


def _kind(value: object) -> str:
    if isinstance(value, type):
        return "exception" if issubclass(value, BaseException) else "class"
    return "function" if callable(value) and hasattr(value, "__code__") else "data"


def first_sentence(package: str) -> str:
    """The first sentence of a package's docstring, on one line."""
    text = " ".join((importlib.import_module(package).__doc__ or "").split())
    return re.split(r"(?<=\.)\s", text)[0]


def toctree(caption: str, pages: list[str]) -> str:
    names = "\n".join(page.removesuffix(".ipynb") for page in pages)
    head = f":caption: {caption}\n" if caption else ""
    return f"```{{toctree}}\n:hidden:\n{head}\n{names}\n```"
