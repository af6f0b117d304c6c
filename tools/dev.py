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
import json
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
# The lock is complete, so nothing is resolved; and a file that is not the one locked is refused.
LOCKED = ["--no-deps", "--require-hashes", "-r", ROOT / "requirements.txt"]
ITSELF = ["--no-deps", "-e", ROOT]
START = "00_start_here.ipynb"
LESSONS = ROOT / "notebooks"
COSTS = ROOT / ".labkit"  # where pytest leaves what its tests cost
# One worker a core; more than four gain little, because the slowest files decide.
PARALLEL = ["-n", "auto", "--maxprocesses=4"]
TENTHS = 10


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
            f"needs Python 3.11 or newer, found {sys.version.split()[0]}; install one, or uv, "
            "which brings its own"
        )
    elif answer(python, "-c", "import ensurepip") is None:
        fail(
            f"{python} has no working venv module; on Debian and Ubuntu: apt-get install "
            "python3-venv"
        )
    else:
        must(python, "-m", "venv", "--clear", VENV)


def set_up():
    """Bring `.venv` in line with the lock; quick when it is already."""
    runs = (version_of(VENV_PYTHON) or (0, 0)) >= OLDEST
    if runs and STAMP.exists() and STAMP.read_text() == fingerprint():
        return
    began, uv = time.time(), find_uv()
    if uv:
        say("setting up .venv with uv, which takes some seconds")
    else:
        say("setting up .venv with venv and pip, which takes two or three minutes")
    if not runs or not (uv or answer(VENV_PYTHON, "-m", "pip", "--version")):
        make_venv(uv)
    if uv:
        for packages in (LOCKED, ITSELF):
            must(uv, "pip", "install", "--python", VENV_PYTHON, *packages)
    else:
        install_with_pip()
    STAMP.write_text(fingerprint())
    say(f".venv is ready after {time.time() - began:.0f} s")


def install_with_pip():
    """Let pip install everything, and say how far it is: alone it is silent, or prints too much."""
    lock = (ROOT / "requirements.txt").read_text().splitlines()
    total = sum("==" in line for line in lock)
    command = [VENV_PYTHON, "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    process = subprocess.Popen(
        [str(part) for part in [*command, "--progress-bar", "off", *LOCKED]],
        cwd=str(ROOT),
        env=dict(os.environ, PYTHONUNBUFFERED="1"),  # each line when it is written
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
        errors="replace",
    )
    seen, printed = 0, []
    for line in process.stdout:
        printed.append(line)
        if line.startswith(("Collecting ", "Requirement already satisfied")):
            seen += 1
            if seen % 10 == 0:
                say(f"{min(seen, total)} of about {total} packages are there")
        elif line.startswith("Installing collected packages"):
            say("installing them, which takes as long again")
    if process.wait():
        print("".join(printed[-30:]))
        fail("pip could not install the packages; its last words are above")
    must(*command, "--quiet", *ITSELF)


def setup(arguments):
    """only set up .venv"""
    say(".venv is up to date")
    return 0


def lab(arguments):
    """open JupyterLab on the first lesson; --originals opens notebooks/, for authors"""
    folder = "reading"
    if "--originals" in arguments:
        arguments = [argument for argument in arguments if argument != "--originals"]
        folder = "notebooks"
    else:
        must(VENV_PYTHON, "-m", "labkit.course", "prepare")
    command = [
        str(VENV_PYTHON),
        "-m",
        "jupyterlab",
        f"--ServerApp.root_dir={ROOT}",
        f"--LabApp.default_url=/lab/tree/{folder}/{START}",
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        f"--LabServerApp.app_settings_dir={ROOT / 'tools' / 'lab_settings'}",
    ]
    say("opening JupyterLab; Ctrl-C twice stops it")
    environment = in_venv(os.environ)
    if WINDOWS:
        # Ctrl-C is JupyterLab's, which asks before it stops the kernels
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return subprocess.call([*command, *arguments], cwd=str(ROOT), env=environment)
    if os.geteuid() == 0:
        # JupyterLab refuses root otherwise; in a container there is no one else
        command.append("--allow-root")
    os.chdir(str(ROOT))
    # never returns: Ctrl-C is JupyterLab's here too
    return os.execve(command[0], [*command, *arguments], environment)


def in_venv(environment):
    """The environment with .venv active: JupyterLab's terminal finds the course's `python`."""
    path = str(VENV_PYTHON.parent) + os.pathsep + environment.get("PATH", "")
    return dict(environment, PATH=path, VIRTUAL_ENV=str(VENV))


def progress(arguments):
    """show the lessons and what you have passed"""
    return run(VENV_PYTHON, "-m", "labkit.course", "progress", *arguments)


def update(arguments):
    """take newer versions of the lessons into reading/, and keep your answers"""
    return run(VENV_PYTHON, "-m", "labkit.course", "update", *arguments)


def reset(arguments):
    """bring a lesson (1_1a) or an exercise (1.1a-2) back as it was"""
    return run(VENV_PYTHON, "-m", "labkit.course", "reset", *arguments)


def chosen_lesson(arguments):
    """The value of --only (None without it), and the other arguments."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--only")
    known, others = parser.parse_known_args(arguments)
    return known.only, others


def named_like(lesson):
    """pytest's -k for what belongs to a lesson: files say 1_1a, exercises 1.1a-2. A number alone,
    such as 00, is in many names; it counts where a name begins.
    """
    if not lesson:
        return []
    if lesson.isdigit():
        return ["-k", f"/{lesson}_ or [{lesson}_ or [{lesson}-"]
    return ["-k", lesson + " or " + lesson.replace("_", ".")]


def notebooks_of(lesson):
    """The notebooks whose name has `lesson` in it, its solutions too."""
    found = sorted(LESSONS.rglob("*.ipynb"))
    chosen = [path for path in found if lesson in path.name and "checkpoint" not in path.name]
    return chosen or fail(f"no notebook is named like {lesson!r}; there are {_names(found)}")


def _names(paths):
    return ", ".join(path.stem for path in paths if path.parent == LESSONS)


def test(arguments):
    """run everything that must be green: lint, types, imports, tests, notebooks; only a lesson
    (--only 1_1a), or only the paths given (tests/world)
    """
    lesson, others = chosen_lesson(arguments)
    paths = [word for word in others if word.split("/")[0] in ("tests", "notebooks")]
    options = [word for word in others if word not in paths]
    pytest = [VENV_PYTHON, "-m", "pytest", *PARALLEL, *options]
    tested = [*pytest, "--dist=loadgroup", f"--costs={COSTS / 'tests.json'}"]
    compared = [*pytest, "--dist=loadfile", f"--costs={COSTS / 'notebooks.json'}"]
    compared += ["--nbval", "--nbval-current-env", "--nbval-cell-timeout=60"]
    if lesson:
        some = [*named_like(lesson), "tests/lessons", "tests/notebooks"]
        stages = {"tests": [*tested, *some], "notebooks": [*compared, *notebooks_of(lesson)]}
    elif paths:
        chosen = {"tests": (tested, []), "notebooks": (compared, [])}
        for path in paths:
            chosen[path.split("/")[0]][1].append(path)
        stages = {name: command + some for name, (command, some) in chosen.items() if some}
    else:
        linter = "from importlinter.cli import lint_imports_command as main; main()"
        stages = {
            "ruff check": [VENV_PYTHON, "-m", "ruff", "check", "."],
            "ruff format": [VENV_PYTHON, "-m", "ruff", "format", "--check", "."],
            "mypy --strict": [VENV_PYTHON, "-m", "mypy"],
            "import contracts": [VENV_PYTHON, "-c", linter, "--no-logo"],
            "tests": [*tested, "tests"],
            "notebooks": [*compared, "notebooks"],
        }
    return run_stages(stages)


def run_stages(stages):
    """Run every stage, whatever the others do, and print a summary; 1 when one of them failed."""
    results = {}
    for costs in (COSTS / "tests.json", COSTS / "notebooks.json"):
        if costs.exists():
            costs.unlink()
    for name, command in stages.items():
        say("-- " + name)
        began, spent = time.time(), cpu_of_children()
        code = run(*command)
        results[name] = (code, time.time() - began, cpu_of_children() - spent)
    say("-- summary")
    tell_costs()
    for name, (code, seconds, cpu) in results.items():
        mark = "FAILED" if code else "ok"
        say(f"{mark:6} {name:16} {seconds:4.0f} s {cpu:5.0f} CPU-s")
    return int(any(code for code, _, _ in results.values()))


def cpu_of_children():
    """CPU-seconds of every process that has ended here; 0 on Windows, which does not say."""
    spent = os.times()
    return spent.children_user + spent.children_system


def tell_costs():
    """The slowest tests and cells, and what the tests of each folder cost, as pytest left it."""
    found = [path for path in (COSTS / "tests.json", COSTS / "notebooks.json") if path.exists()]
    told = [json.loads(path.read_text(encoding="utf-8")) for path in found]
    slowest = sorted((pair for costs in told for pair in costs["slowest"]), reverse=True)[:10]
    if slowest:
        say("the ten slowest:")
    for seconds, name in slowest:
        print(f"    {seconds:6.1f} s  {name}")
    if (COSTS / "tests.json").exists():
        cpu = told[0]["cpu"]
        say("CPU-seconds by folder:")
        print("    " + ", ".join(f"{folder} {spent:.0f}" for folder, spent in cpu.items()))
        say(f"a lesson may cost {told[0]['of a lesson']} CPU-seconds, its notebooks included")


def deep(arguments):
    """search anew, ten times as deep: --only 1_1a, --tenth (CI's part), --keep (write what was
    found)
    """
    lesson, options = chosen_lesson(arguments)
    if "--tenth" in options:
        options[options.index("--tenth")] = f"--tenth={whose_turn()}"
    os.environ["LABKIT_DEPTH"] = "deep"
    stage = [VENV_PYTHON, "-m", "pytest", *PARALLEL, "--dist=loadgroup", "-m", "search"]
    stage += [*named_like(lesson), f"--costs={COSTS / 'tests.json'}", "tests", *options]
    return run_stages({"deep search": stage})


def whose_turn():
    """The tenth of the deep search that this commit's run of CI takes: commits modulo ten."""
    if answer("git", "rev-parse", "--is-shallow-repository") != "false":
        say("this clone does not know how many commits there are: the deep search takes tenth 0")
        return 0
    turn = int(answer("git", "rev-list", "--count", "HEAD")) % TENTHS
    say(f"the deep search takes tenth {turn}: the number of commits modulo {TENTHS}")
    return turn


def browser(arguments):
    """run the notebooks in a real JupyterLab in headless Chromium; --only 1_1a for one lesson"""
    lesson, options = chosen_lesson(arguments)
    return run(VENV_PYTHON, "-m", "pytest", "tests/browser", *named_like(lesson), *options)


def site(arguments):
    """build the course's website into build/site/html; --open shows it"""
    return run(VENV_PYTHON, "-m", "tools.website", *arguments)


def bench(arguments):
    """measure, and write data/results; --only sim for one benchmark"""
    only, names = chosen_lesson(arguments)
    names += [only] if only else []
    found = sorted(path.stem for path in (ROOT / "tests" / "benchmarks").glob("bench_*.py"))
    chosen = [name for name in found if not names or any(part in name for part in names)]
    if not chosen:
        fail(f"no benchmark is named like {names}; there are {found}")
    return max(run(VENV_PYTHON, "-m", f"tests.benchmarks.{name}") for name in chosen)


def notebooks(arguments):
    """run notebooks in place and write them back in normal form; --only 1_1a for one lesson"""
    lesson, names = chosen_lesson(arguments)
    names += [lesson] if lesson else []
    return run(VENV_PYTHON, ROOT / "tools" / "notebooks.py", *names)


def lock(arguments):
    """write requirements.txt anew from pyproject.toml, for Python 3.11 to 3.13 on every system
    (needs uv)
    """
    uv = find_uv() or fail("the lock is made with uv; install it")
    form = ["--generate-hashes", "--no-emit-index-url", "--no-annotate"]
    form += ["--custom-compile-command", "make lock"]
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
    command.__name__: command
    for command in (
        *(setup, lab, progress, update, reset, test, deep, browser),
        *(site, bench, notebooks, lock),
    )
}


def main():
    parser = argparse.ArgumentParser(
        prog="python tools/dev.py", description="The two commands of the course are lab and test."
    )
    choices = parser.add_subparsers(dest="command", metavar="COMMAND")
    choices.required = True
    for name, command in COMMANDS.items():
        choices.add_parser(name, help=" ".join(command.__doc__.split()), add_help=False)
    chosen, arguments = parser.parse_known_args()
    if chosen.command != "lock":
        set_up()
    try:
        return COMMANDS[chosen.command](arguments)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
