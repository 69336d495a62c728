"""What ``make release`` built, installed as a user would: ``python -m tests.release DIST [PYTHON]``, with the standard library alone.

Sdist and wheel are each installed in an environment of their own, where the commands and the Python of the README's first minute
run, warnings being errors. Ends with 1 and one line where something is wrong.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


class Refused(Exception):
    """What is not fit to be released, and why."""


def version() -> str:
    """Return the version on which the package, pyproject.toml, the image and the changelog agree."""
    places = {
        "genrepipe/core/version.py": r'^VERSION = "(.+)"$',
        "pyproject.toml": r'^version = "(.+)"$',
        "CHANGELOG.md": r"^## (\S+),",
        "Dockerfile": r"^ARG VERSION=(\S+)$",
    }
    found = {}
    for name, pattern in places.items():
        match = re.search(pattern, (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
        found[name] = match.group(1) if match else "none"
    if len(set(found.values())) > 1:
        raise Refused("the versions differ: " + ", ".join(f"{name} {value}" for name, value in found.items()))
    return found["pyproject.toml"]


def first_minute() -> tuple[list[list[str]], list[str]]:
    """Return the words of every genrepipe command, and the Python blocks, of the README's first minute."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.partition("\n## A first minute\n")[2].partition("\n## ")[0]
    commands = [shlex.split(line.split("  #")[0]) for line in re.findall(r"^\$ (genrepipe .+)$", section, re.MULTILINE)]
    blocks = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    if not commands or not blocks:
        raise Refused("README.md has no first minute to run")
    return commands, blocks


def checked(words: list[str], folder: Path) -> str:
    """Run a command in a folder, with nothing of this environment but the path, and return what it prints."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONWARNINGS": "error"}
    done = subprocess.run(words, cwd=folder, env=environment, check=False, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise Refused(f"{shlex.join(words)} ended with {done.returncode}: {''.join(last)}")
    return done.stdout


def tried(file: Path, python: str, expected: str) -> int:
    """Install a file in a fresh environment, run the first minute there, and return how many commands and blocks ran."""
    commands, blocks = first_minute()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        work = folder / "work"
        work.mkdir()
        subprocess.run([python, "-m", "venv", folder / "venv"], check=True)
        bin_ = folder / "venv/bin"
        pip = [bin_ / "python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        subprocess.run([*pip, "--constraint", ROOT / "constraints/all.txt", file], check=True)
        told = checked([str(bin_ / "genrepipe"), "--version"], work)
        if expected not in told.split():
            raise Refused(f"{file.name} says that it is {told.strip()}, not {expected}")
        for words in commands:
            checked([str(bin_ / words[0]), *words[1:]], work)
        for block in blocks:
            checked([str(bin_ / "python"), "-c", block], work)
    return len(commands) + len(blocks)


def main(dist: Path, python: str) -> None:
    """Try what lies in ``dist``, which is one sdist and one wheel."""
    expected = version()
    files = sorted(dist.iterdir())
    names = [f"genrepipe-{expected}-py3-none-any.whl", f"genrepipe-{expected}.tar.gz"]
    if [file.name for file in files] != names:
        raise Refused(f"{dist} holds {', '.join(file.name for file in files) or 'nothing'}, not {', '.join(names)}")
    for file in files:
        print(f"{file.name}: installed, {tried(file, python, expected)} steps of the first minute ran")
    if f"## {expected}, not released" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"):
        print(f"Before uploading: CHANGELOG.md says that {expected} is not released; put the date there")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else sys.executable)
    except Refused as error:
        sys.exit(f"release: {error}")
