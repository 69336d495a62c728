"""Write requirements with hashes, for the image: ``python constraints/hashed.py [SET …]`` (``make constraints`` calls it).

pip is asked what it would install for each Python and processor, by the versions in ``all.txt``; its report has the
sha256 of each file. The files hold versions and hashes, and no addresses.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_28_aarch64")
# torch's CPU build is at hand for one of them; the default build of the others brings gigabytes for GPUs.
ONLY = {"train": ("3.11", "manylinux_2_28_x86_64")}
# Sets without compiled files, of which pip is asked once; pyspark comes as a source archive alone.
ANYWHERE = {"spark": ["pyspark", "py4j"]}
SETS = {
    "build": ["hatchling"],
    "scoring": [""],
    "text": ["text"],
    "lineage": ["lineage"],
    "otlp": ["otlp"],
    "cloud": ["cloud"],
    "lake": ["lake"],
    "signing": ["signing"],
    "spark": ["spark"],
    "train": ["train"],
}


def report(wanted: list[str], python: str, platform: str) -> list[tuple[str, str, str]]:
    """Return (name, version, sha256) of each file that pip would install for a Python and a processor."""
    older = [f"manylinux_2_{n}_{platform.split('_', 3)[3]}" for n in range(28, 16, -1)]
    platforms = [platform, *older, f"manylinux2014_{platform.split('_', 3)[3]}"]
    with tempfile.TemporaryDirectory() as folder:
        where = [
            "--only-binary=:all:",
            "--target",
            folder,
            "--python-version",
            python,
            *(f"--platform={name}" for name in platforms),
        ]
        return _installed([*where, *wanted], Path(folder) / "report.json")


def _installed(words: list[str], out: Path) -> list[tuple[str, str, str]]:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed",
               "--report", str(out), "--constraint", str(HERE / "all.txt"), *words]  # fmt: skip
    subprocess.run(command, check=True, cwd=HERE.parent)  # noqa: S603  our own words
    installed = json.loads(out.read_text())["install"]
    return [
        (
            item["metadata"]["name"].lower().replace("_", "-"),
            item["metadata"]["version"],
            item["download_info"]["archive_info"]["hashes"]["sha256"],
        )
        for item in installed
        if "archive_info" in item["download_info"]
    ]


def requirements(extras: str) -> list[str]:
    """Return the project's own requirements, with those of an extra."""
    import tomllib  # noqa: PLC0415

    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]
    return [*project["dependencies"], *(project["optional-dependencies"][extras] if extras else [])]


def main() -> None:
    """Write one file for each set, or for those that are named."""
    for name in sys.argv[1:] or SETS:
        wanted = SETS[name]
        known: dict[tuple[str, str], dict[str, set[str]]] = {}
        names = wanted if name == "build" else requirements(wanted[0])
        if name in ANYWHERE:
            with tempfile.TemporaryDirectory() as folder:
                for package, version, sha256 in _installed(
                    ["--no-deps", *ANYWHERE[name]], Path(folder) / "report.json"
                ):
                    known.setdefault((package, version), {}).setdefault(sha256, set()).add(PYTHONS[0])
        for python in () if name in ANYWHERE else PYTHONS:
            for platform in PLATFORMS:
                if (python, platform) != ONLY.get(name, (python, platform)):
                    continue
                try:
                    for package, version, sha256 in report(names, python, platform):
                        known.setdefault((package, version), {}).setdefault(sha256, set()).add(python)
                except subprocess.CalledProcessError:
                    print(f"{name}: nothing for Python {python} on {platform}", file=sys.stderr)
        lines = [
            f"{package}=={version} \\\n" + " \\\n".join(f"    --hash=sha256:{sha256}" for sha256 in sorted(hashes))
            for (package, version), hashes in sorted(known.items())
        ]
        head = f"# What the image installs ({name}), by version and hash. Written by constraints/hashed.py.\n"
        (HERE / "hashed" / f"{name}.txt").write_text(head + "\n".join(lines) + "\n", encoding="utf-8")
        print(f"{name}: {len(lines)} packages")


if __name__ == "__main__":
    main()
