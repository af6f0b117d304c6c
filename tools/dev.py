"""The two commands of the course, and the few for those who write it. Standard library only, any
Python from 3.7 on starts it.

`make lab` is `python tools/dev.py lab`, and so for every command: Windows, which has no make, runs
the same file.

Each command first brings `.venv` in line with pyproject.toml and requirements.txt, and does nothing
when it already is: with uv where uv is installed, else with venv and pip. It needs a Python of at
least 3.11, and looks for one if the one it was started with is older. It leaves out: removing a
package that a person added to `.venv` by hand."""

import argparse
import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "labkit-stamp"
WINDOWS = os.name == "nt"
VENV_PYTHON = VENV / ("Scripts/python.exe" if WINDOWS else "bin/python")
OLDEST = (3, 11)
LOCKED_FOR = ["3.13", "3.12", "3.11"]
LESSONS = ROOT / "notebooks"


def say(message):
    print("labkit: " + message, flush=True)


def fail(message):
    sys.exit("labkit: " + message)


def run(*command):
    """The exit code of a command run from the project's folder."""
    return subprocess.call([str(part) for part in command], cwd=str(ROOT))


def must(*command):
    if run(*command):
        fail("this failed: " + " ".join(str(part) for part in command))


def answer(*command):
    """What a command prints, or None if it cannot be run."""
    try:
        done = subprocess.run(
            [str(part) for part in command],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.decode().strip()


def version_of(*python):
    """(3, 12) for an interpreter that runs, None for one that does not."""
    text = answer(*python, "-c", "import sys; print(sys.version_info[0], sys.version_info[1])")
    return tuple(int(number) for number in text.split()) if text else None


def find_uv():
    return "uv" if answer("uv", "--version") else None


def find_python():
    """A Python for the course: the one that runs this file if the lock was made for it, else the
    best on the path.
    """
    own = [
        getattr(sys, "_base_executable", sys.executable)
    ]  # never the one in .venv: that may be about to go
    named = [["py", "-" + minor] if WINDOWS else ["python" + minor] for minor in LOCKED_FOR]
    first = [own] if f"{sys.version_info[0]}.{sys.version_info[1]}" in LOCKED_FOR else []
    for python in [*first, *named, own, ["python3"], ["python"]]:
        if (version_of(*python) or (0, 0)) >= OLDEST:
            return answer(*python, "-c", "import sys; print(sys.executable)")
    return None


def fingerprint():
    """What `.venv` depends on: the two files, and the place it stands in."""
    inputs = (ROOT / "pyproject.toml").read_bytes() + (ROOT / "requirements.txt").read_bytes()
    return hashlib.sha256(inputs + str(VENV).encode()).hexdigest()


def make_venv(uv):
    if VENV.exists() and not (VENV / "pyvenv.cfg").exists():
        fail(f"{VENV} is there and is no virtual environment; move it away")
    python = find_python()
    if uv:
        must(uv, "venv", "--quiet", "--clear", "--python", python or ">=3.11", VENV)
    elif not python:
        fail(
            f"needs Python 3.11 or newer, found {sys.version.split()[0]}; install one, or uv, which brings its own"
        )
    elif answer(python, "-c", "import ensurepip") is None:
        fail(
            f"{python} has no working venv module; on Debian and Ubuntu: apt-get install python3-venv"
        )
    else:
        must(python, "-m", "venv", "--clear", VENV)


def set_up():
    """Bring `.venv` in line with the lock; quick when it is already."""
    runs = (version_of(VENV_PYTHON) or (0, 0)) >= OLDEST
    if runs and STAMP.exists() and STAMP.read_text() == fingerprint():
        say(".venv is up to date")
        return
    began, uv = time.time(), find_uv()
    say(f"setting up .venv with {'uv' if uv else 'venv and pip, which takes a minute or two'}")
    if not runs or not (uv or answer(VENV_PYTHON, "-m", "pip", "--version")):
        make_venv(uv)
    if uv:
        install = [uv, "pip", "install", "--quiet", "--python", VENV_PYTHON]
    else:
        install = [VENV_PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    must(*install, "-r", ROOT / "requirements.txt", "-e", ROOT)
    STAMP.write_text(fingerprint())
    say(f".venv is ready after {time.time() - began:.0f} s")


def setup(arguments):
    """only set up .venv"""
    return 0


def lab(arguments):
    """open JupyterLab on the first notebook"""
    command = [
        str(VENV_PYTHON),
        "-m",
        "jupyterlab",
        str(LESSONS / "00_start_here.ipynb"),
        f"--ServerApp.root_dir={ROOT}",
    ]
    command += [
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    say("opening JupyterLab; Ctrl-C twice stops it")
    if WINDOWS:
        signal.signal(
            signal.SIGINT, signal.SIG_IGN
        )  # Ctrl-C is JupyterLab's, which asks before it stops the kernels
        return run(*command, *arguments)
    if os.geteuid() == 0:
        command.append(
            "--allow-root"
        )  # JupyterLab refuses root otherwise; in a container there is no one else
    os.chdir(str(ROOT))
    return os.execv(
        command[0], [*command, *arguments]
    )  # never returns: Ctrl-C is JupyterLab's here too


def test(arguments):
    """run everything that must be green: lint, types, imports, tests, notebooks"""
    pytest = [VENV_PYTHON, "-m", "pytest"]
    import_linter = "from importlinter.cli import lint_imports_command as main; main()"
    stages = {
        "ruff check": [VENV_PYTHON, "-m", "ruff", "check", "."],
        "ruff format": [VENV_PYTHON, "-m", "ruff", "format", "--check", "."],
        "mypy --strict": [VENV_PYTHON, "-m", "mypy"],
        "import contracts": [VENV_PYTHON, "-c", import_linter, "--no-logo"],
        "tests": [*pytest, "tests", *arguments],
        "notebooks": [
            *pytest,
            "--nbval",
            "--nbval-current-env",
            "--nbval-cell-timeout=60",
            "notebooks",
            *arguments,
        ],
    }
    results = {}
    for name, command in stages.items():
        say("-- " + name)
        began = time.time()
        results[name] = (run(*command), time.time() - began)
    say("-- summary")
    for name, (code, seconds) in results.items():
        say(f"{'FAILED' if code else 'ok':6} {name:16} {seconds:4.0f} s")
    return int(any(code for code, _ in results.values()))


def browser(arguments):
    """run the notebooks in a real JupyterLab in headless Chromium"""
    return run(VENV_PYTHON, "-m", "pytest", "tests/browser", *arguments)


def bench(arguments):
    """measure, and write data/results; names choose: bench sim"""
    found = sorted(path.stem for path in (ROOT / "tests" / "benchmarks").glob("bench_*.py"))
    chosen = [name for name in found if not arguments or any(part in name for part in arguments)]
    if not chosen:
        fail(f"no benchmark is named like {arguments}; there are {found}")
    return max(run(VENV_PYTHON, "-m", f"tests.benchmarks.{name}") for name in chosen)


def notebooks(arguments):
    """run notebooks in place and write them back in normal form"""
    return run(VENV_PYTHON, ROOT / "tools" / "notebooks.py", *arguments)


def lock(arguments):
    """write requirements.txt anew from pyproject.toml, for Python 3.11 to 3.13 on every system
    (needs uv)
    """
    uv = find_uv() or fail("the lock is made with uv; install it")
    form = ["--no-emit-index-url", "--no-annotate", "--custom-compile-command", "make lock"]
    target = [
        "--universal",
        "--python-version",
        "3.11",
        "--fork-strategy",
        "fewest",
        "--all-extras",
        "-o",
        "requirements.txt",
    ]
    return run(uv, "pip", "compile", "--quiet", *form, *target, *arguments, "pyproject.toml")


COMMANDS = {
    command.__name__: command for command in (setup, lab, test, browser, bench, notebooks, lock)
}


def main():
    parser = argparse.ArgumentParser(
        prog="python tools/dev.py", description="The two commands of the course are lab and test."
    )
    choices = parser.add_subparsers(dest="command", metavar="COMMAND")
    choices.required = True
    for name, command in COMMANDS.items():
        choices.add_parser(name, help=command.__doc__, add_help=False)
    chosen, arguments = parser.parse_known_args()
    if chosen.command != "lock":
        set_up()
    try:
        return COMMANDS[chosen.command](arguments)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
