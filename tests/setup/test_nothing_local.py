"""No tracked file names a package index, a mirror or a folder of the machine it was written on."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tools.dev import ROOT

INDEX = re.compile(
    # An option with a place behind it, then two kinds of address.
    r"(?:index[-_]url|find[-_]links|trusted[-_]host)[ =:\"']+\S*[/.]"
    r"|https?://[^\s/\"')>]*"
    r"(?:pypi|pythonhosted|registry|mirror|artifactory|nexus|devpi|anaconda)[^\s\"')>]*"
    r"|https?://\S+/simple\b",
    re.I,
)
FOLDER = re.compile(r"(?<![\w.:/~-])/(?:root|work)/\w")


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [
        ROOT / name
        for name in listed.stdout.decode().split("\0")
        if name and (ROOT / name).is_file()
    ]


def local_things(text: str) -> list[str]:
    return [found[0] for pattern in (INDEX, FOLDER) for found in pattern.finditer(text)]


def test_no_file_names_an_index_or_a_folder_of_one_machine() -> None:
    found = {}
    for path in tracked():
        data = path.read_bytes()
        if (
            path != Path(__file__).resolve()
            and b"\0" not in data
            and (things := local_things(data.decode("utf-8")))
        ):
            found[str(path.relative_to(ROOT))] = things
    assert found == {}


@pytest.mark.parametrize(
    "text",
    [
        "--index-url https://packages.example.com/x",
        "extra_index_url = http://10.0.0.1:8081/pypi",
        "PIP_FIND_LINKS=/srv/wheels",
        "https://registry.example.com/labkit",
        "https://packages.example.com/simple",
        "see /work/notes",
    ],
)
def test_such_a_thing_is_noticed(text: str) -> None:
    assert local_things(text)


@pytest.mark.parametrize(
    "text",
    ["--no-emit-index-url", "https://redis.io/docs/", "how things work/fail", "a simple index"],
)
def test_ordinary_text_is_let_pass(text: str) -> None:
    assert not local_things(text)
