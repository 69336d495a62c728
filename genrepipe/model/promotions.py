"""What was promoted in a folder of bundles, when, in place of what, on which evidence: ``promotions.jsonl``, a line each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from genrepipe.core import files
from genrepipe.core.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path

    from genrepipe.model.bundle import Bundle

FILE = "promotions.jsonl"


@dataclass(frozen=True)
class Promotion:
    """The bundle that became champion, and the share of the genres that its comparison said would change."""

    sha256: str
    promised: float | None  # None where nothing was compared


def add(
    folder: Path, before: Bundle | None, after: Bundle, evidence: dict[str, Any] | None, reason: str | None
) -> None:
    """Keep a promotion, before it is made: a promotion without a line would be worse than a line without one.

    Parameters
    ----------
    before
        The champion until now; None where it was broken.
    evidence
        The comparison of the two.
    reason
        Why the bundle was promoted without evidence, or against it.

    Raises
    ------
    WarehouseBusy
        Another command writes in that folder.
    StorageError
        The file cannot be read or written.
    """
    line = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"), "from": _named(before), "to": _named(after),
        "evidence": evidence, "reason": reason,
    }  # fmt: skip
    files.append_line(folder / FILE, json.dumps(line))


def of(folder: Path) -> list[Promotion]:
    """Return the promotions of a folder, the oldest first.

    Raises
    ------
    StorageError
        The file cannot be read, or is not what ``add`` leaves.
    """
    path = folder / FILE
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return [_read(json.loads(line)) for line in lines if line.strip()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}", "Check its permissions") from error
    except (ValueError, TypeError, KeyError, ZeroDivisionError, RecursionError) as error:
        raise StorageError(f"{path} has a line that is no promotion", "Correct the line, or remove it") from error


def _read(line: dict[str, Any]) -> Promotion:
    evidence = line["evidence"]
    return Promotion(str(line["to"]["sha256"]), evidence["changed"] / evidence["tracks"] if evidence else None)


def _named(bundle: Bundle | None) -> dict[str, str] | None:
    if bundle is None:
        return None
    manifest = bundle.manifest
    return {"model": manifest.name, "version": manifest.version, "sha256": bundle.sha256, "folder": str(bundle.folder)}
