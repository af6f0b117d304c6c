"""The lock is exact, complete and the same for everyone: pyproject.toml, requirements.txt and
environment.yml agree.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools.dev import ITSELF, LOCKED, ROOT

LOCK = (ROOT / "requirements.txt").read_text().replace(" \\\n    ", " ")
LINES = [line for line in LOCK.splitlines() if line and not line.startswith("#")]
HASH = r" --hash=sha256:[0-9a-f]{64}"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ASKED = [
    *PROJECT["dependencies"],
    *(line for lines in PROJECT["optional-dependencies"].values() for line in lines),
]


def exact(line: str) -> bool:
    pin = r"[a-z0-9.-]+(\[[a-z,]+\])?==[0-9][\w.]*"
    return re.fullmatch(rf"{pin}( ; [^#]+?)?({HASH})+", line) is not None


def locked() -> dict[str, list[Requirement]]:
    found: dict[str, list[Requirement]] = {}
    for line in LINES:
        requirement = Requirement(re.sub(HASH, "", line))
        found.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return found


def unmet(asked: str) -> str | None:
    """Why the lock does not answer what pyproject.toml asks for, or None."""
    requirement = Requirement(asked)
    versions = [
        next(iter(pin.specifier)).version
        for pin in locked().get(canonicalize_name(requirement.name), [])
    ]
    if not versions:
        return f"{requirement.name} is not in the lock"
    wrong = [version for version in versions if not requirement.specifier.contains(version)]
    return (
        f"{requirement.name} is locked at {wrong}, which {requirement.specifier} excludes"
        if wrong
        else None
    )


def test_every_line_is_one_exact_version_with_its_hashes_and_at_most_a_marker() -> None:
    assert [line for line in LINES if not exact(line)] == []


@pytest.mark.parametrize(
    "line",
    ["redis", "redis>=8", "-e .", "--index-url x", "redis @ file:///x", "a==1"],
)
def test_anything_else_is_refused(line: str) -> None:
    assert not exact(line) and not exact(f"{line} --hash=sha256:0")


def test_a_line_with_a_hash_is_exact() -> None:
    assert exact("a==1.2 ; sys_platform == 'win32' --hash=sha256:" + "0" * 64)


def test_setup_checks_every_hash_and_resolves_nothing() -> None:
    assert {"--no-deps", "--require-hashes"} < set(LOCKED) and "--no-deps" in ITSELF


def test_the_lock_answers_everything_the_project_asks_for() -> None:
    assert [unmet(asked) for asked in ASKED if unmet(asked)] == []


def test_a_missing_package_and_an_excluded_version_are_noticed() -> None:
    assert unmet("left-pad>=1") == "left-pad is not in the lock"
    assert "excludes" in (unmet("sqlalchemy>=2.1") or "")


def test_what_uv_must_keep_to_is_exact_and_is_locked() -> None:
    """uv refuses `--require-hashes` beside a constraint that leaves a choice."""
    kept_to = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]
    for line in kept_to["constraint-dependencies"]:
        assert "==" in line and unmet(line) is None


def test_redis_has_its_own_types() -> None:
    assert "types-redis" not in locked()


def test_conda_users_get_the_same_lock_and_nothing_else() -> None:
    environment = yaml.safe_load(Path(ROOT / "environment.yml").read_text())
    python, pip = environment["dependencies"]
    assert python.removeprefix("python ").split(",")[0] == PROJECT["requires-python"]
    assert pip == "pip"
    for page in ("README.md", "environment.yml"):
        text = (ROOT / page).read_text(encoding="utf-8")
        assert "pip install --no-deps --require-hashes -r requirements.txt" in text
        assert "pip install --no-deps -e ." in text
