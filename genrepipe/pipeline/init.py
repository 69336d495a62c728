"""Begin a folder for a nightly job: a commented job file, its JSON Schema, an inbox, and a place for its warehouse."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from genrepipe.core import assets
from genrepipe.core.errors import CHECK, REMEDIES, StorageError, UsageError
from genrepipe.pipeline import requests
from genrepipe.pipeline.results import InitResult

if TYPE_CHECKING:
    from pathlib import Path

JOB_FILE, SCHEMA, INBOX, WAREHOUSE = "score.yaml", "score.schema.json", "inbox", "warehouse.duckdb"


def init(folder: Path) -> InitResult:
    """Begin a folder for a nightly job, which may be there already; nothing in it is overwritten.

    Raises
    ------
    UsageError
        One of the files is there, or its path is not UTF-8.
    StorageError
        The folder cannot be written.
    """
    whole = folder.absolute()
    job_file, schema, inbox = whole / JOB_FILE, whole / SCHEMA, whole / INBOX
    try:
        str(whole).encode()
        for path in (job_file, schema):
            if path.exists() or path.is_symlink():
                raise UsageError(f"{path} exists, and is not overwritten", "Name another folder, or move it away")
        inbox.mkdir(parents=True, exist_ok=True)
        contents = {
            schema: f"{json.dumps(requests.json_schema('score'), indent=2, ensure_ascii=False)}\n",
            job_file: _job(whole),  # last: with it the folder is a job's
        }
        for path, text in contents.items():
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
    except UnicodeEncodeError:
        raise UsageError(f"{folder}: its name is not UTF-8", "Name another folder") from None
    except OSError as error:
        raise StorageError(
            f"{error.filename or whole} cannot be made: {error.strerror}", REMEDIES.get(error.errno or 0, CHECK)
        ) from error
    return InitResult(
        str(folder), str(folder / JOB_FILE), str(folder / SCHEMA), str(folder / INBOX), str(folder / WAREHOUSE)
    )


def _job(folder: Path) -> str:
    """Return the job that ships, with its comments, as that of a folder; paths are whole, since schedulers run it from anywhere."""
    name = re.sub(r"\W+", "_", folder.name).strip("_") or "score"
    text = (assets.shipped("jobs") / "score_nightly.yaml").read_text(encoding="utf-8")
    changes = {
        r"\A# .*$": f"# yaml-language-server: $schema={SCHEMA}\n# A nightly job. {folder.name}/{INBOX} is for the files that it scores.",
        r"^name: .*$": f"name: {json.dumps(name, ensure_ascii=False)}",
        r"^  - tracks\.csv$": f"  - {_quoted(folder / INBOX)}",
        r"^warehouse: .*$": f"warehouse: {_quoted(folder / WAREHOUSE)}",
    }
    for pattern, line in changes.items():
        text = re.sub(pattern, lambda _, line=line: line, text, count=1, flags=re.MULTILINE)  # type: ignore[misc]
    return text


def _quoted(path: Path) -> str:
    return json.dumps(str(path), ensure_ascii=False)  # is YAML too
