"""Text and Python source in lines of at most 80 columns, as a notebook shows them.

JupyterLab cuts a wider line at the width of a laptop, or breaks it in the middle of a word. Leaves
out: a word, a string or a name that is itself too long stays in one piece."""

from __future__ import annotations

import ast
import io
import textwrap
import tokenize
from collections.abc import Iterator

COLUMNS = 80
_WORDS = (" for ", " if ", " else ", " and ", " or ")
_CLOSING = {"(": ")", "[": "]", "{": "}"}


def wrapped(text: str, *, hanging: int = 4) -> str:
    """`text` with its long lines broken between words; what follows is indented by `hanging` more
    columns. A line that is a Python call is broken at its arguments, and can still be copied.
    """
    return "\n".join(piece for line in text.splitlines() for piece in _pieces(line, hanging))


def wrapped_code(code: str) -> str:
    """Python source with its long lines broken at brackets and commas, and its long docstrings
    filled anew. Comments behind a long line move above it. Other strings are not touched.
    """
    if all(len(line) <= COLUMNS for line in code.splitlines()):
        return code
    tokens = list(tokenize.generate_tokens(io.StringIO(code).readline))
    lines, strings, nested = code.splitlines(), list(_strings(tokens)), _nested(tokens)
    inside = {row for begin, end, _ in strings for row in range(begin, end + 1)}
    shown: list[str] = []
    for row, line in enumerate(lines):
        docstring = next((end for begin, end, doc in strings if doc and begin == row), None)
        if docstring is not None:
            shown += _filled(lines[row : docstring + 1])
        elif row not in inside:
            shown += _code(line, row in nested)
        elif not any(doc and begin < row <= end for begin, end, doc in strings):
            shown.append(line)
    return "\n".join(shown)


def _pieces(line: str, hanging: int) -> list[str]:
    if len(line) <= COLUMNS:
        return [line]
    if _is_call(line):
        return _code(line)
    indent = " " * (len(line) - len(line.lstrip()))
    return _fill(line, "", indent + " " * hanging)


def _fill(text: str, first: str, following: str) -> list[str]:
    return textwrap.wrap(
        text,
        COLUMNS,
        initial_indent=first,
        subsequent_indent=following,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _is_call(line: str) -> bool:
    try:
        tree = ast.parse(line.strip(), mode="eval")
    except (SyntaxError, ValueError):
        return False
    return isinstance(tree.body, ast.Call)


def _code(line: str, nested: bool = False) -> list[str]:
    """One line of code in lines that fit, as a formatter would write them. Only a line that is
    `nested` in brackets can be broken without one.
    """
    if len(line) <= COLUMNS:
        return [line]
    indent = line[: len(line) - len(line.lstrip())]
    pairs, breaks, comment = _scan(line)
    if comment is not None:
        above = [] if comment == len(indent) else _code(line[:comment].rstrip(), nested)
        words = line[comment:].lstrip("# ")
        marked = indent + "# "
        return _fill(words, marked, marked) + above
    imports, word, names = line.partition(" import ")
    if word and not nested and imports.lstrip().startswith("from ") and not pairs:
        return [f"{imports} import (", *_body(f"{indent}    {names}"), f"{indent})"]
    if pairs:
        begin, end = max(pairs, key=lambda pair: pair[1] - pair[0])
        head, body, tail = line[: begin + 1], line[begin + 1 : end].strip(), line[end:]
        if body and len(head) <= COLUMNS:
            within = _body(f"{indent}    {body}")
            return [head, *within, *_code(indent + tail, nested)]
    return (_parts(line, breaks) if nested else []) or [line]


def _body(line: str) -> list[str]:
    """What stands between two brackets: on one line, or an argument a line."""
    if len(line) <= COLUMNS:
        return [line]
    return _parts(line, _scan(line)[1]) or _code(line, nested=True)


def _parts(line: str, breaks: list[int]) -> list[str]:
    indent = line[: len(line) - len(line.lstrip())]
    ends = [*breaks, len(line)]
    parts = [line[a:b].strip() for a, b in zip([0, *breaks], ends, strict=True)]
    parts = [part for part in parts if part]
    if len(parts) < 2:
        return []
    return [piece for part in parts for piece in _code(indent + part, nested=True)]


def _scan(line: str) -> tuple[list[tuple[int, int]], list[int], int | None]:
    """The outermost pairs of brackets, where the line may be broken outside all of them (behind a
    comma, else before a word such as `for` or `and`), and where a comment begins.

    A bracket that the line does not close, or did not open, is skipped.
    """
    pairs: list[tuple[int, int]] = []
    commas: list[int] = []
    words: list[int] = []
    opened: list[int] = []
    quote, place = "", 0
    while place < len(line):
        sign = line[place]
        if quote:
            if sign == "\\":
                place += 1
            elif sign == quote:
                quote = ""
        elif sign in "'\"":
            quote = sign
        elif sign == "#":
            return pairs, commas or words, place
        elif sign in _CLOSING:
            opened.append(place)
        elif opened and sign == _CLOSING[line[opened[-1]]]:
            begin = opened.pop()
            if not opened:
                pairs.append((begin, place))
        elif sign == "," and not opened:
            commas.append(place + 1)
        elif not opened and line.startswith(_WORDS, place):
            words.append(place)
        place += 1
    return pairs, commas or words, None


def _strings(tokens: list[tokenize.TokenInfo]) -> Iterator[tuple[int, int, bool]]:
    """The docstrings, and all other strings of several lines: first row, last row, whether it is a
    docstring.
    """
    begun, before = 0, tokenize.NEWLINE
    for token in tokens:
        first, last = token.start[0] - 1, token.end[0] - 1
        kind = tokenize.tok_name[token.type]
        if kind == "FSTRING_START":
            begun = first
        elif kind == "FSTRING_END" and last > begun:
            yield begun, last, False
        elif kind == "STRING":
            is_statement = before in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
            if is_statement or last > first:
                yield first, last, is_statement
        if token.type not in (tokenize.NL, tokenize.COMMENT):
            before = token.type


def _nested(tokens: list[tokenize.TokenInfo]) -> set[int]:
    """The rows that begin inside brackets."""
    nested, depth, row = set(), 0, -1
    for token in tokens:
        if token.start[0] - 1 > row and depth:
            nested.add(token.start[0] - 1)
        row = token.start[0] - 1
        if token.type == tokenize.OP:
            depth += (token.string in _CLOSING) - (token.string in _CLOSING.values())
    return nested


def _filled(lines: list[str]) -> list[str]:
    """A docstring whose paragraphs with a long line are filled anew."""
    indent = lines[0][: len(lines[0]) - len(lines[0].lstrip())]
    filled: list[str] = []
    for paragraph in "\n".join(lines).split("\n\n"):
        part = paragraph.split("\n")
        table = any(line.lstrip().startswith("|") for line in part)
        if any(len(line) > COLUMNS for line in part) and not table:
            part = _fill(" ".join(line.strip() for line in part), indent, indent)
        filled += [*part, ""]
    return filled[:-1]
