"""A bundle becomes the champion where a comparison speaks for it, or somebody says why without one."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from genrepipe.core.errors import StorageError
from genrepipe.ingest import landing, sources
from genrepipe.model import bundle as bundles
from genrepipe.model import promotions
from genrepipe.pages import findings
from genrepipe.pipeline import night as nights
from genrepipe.synthetic import tracks as synthetic
from tests.support import DAY, NEXT, Finished, ask, landed, run, score, tracks, write_csv

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    folder = tmp_path / "shelf"
    folder.mkdir()
    return folder


def promote(model: str, shelf: Path, *more: object) -> Finished:
    return run("models", "promote", model, "--bundles", shelf, "--output", "json", *more)


def kept(shelf: Path) -> list[dict[str, Any]]:
    path = shelf / "promotions.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def refused(result: Finished) -> str:
    assert (result.code, result.json["error"]) == (78, "PromotionRefused"), result.err
    return result.json["message"]


def test_worse_is_refused_better_is_promoted_and_a_reason_is_kept(shelf: Path, sample: Path) -> None:
    said = refused(promote("all-features", shelf, "--on", sample))
    assert "all-features 1.4.0 is significantly worse than the champion, artist-context 1.4.0" in said
    assert "(95 % interval -0." in said
    assert "genres would change" in said
    assert not (shelf / "champion").exists()
    assert kept(shelf) == []

    against = promote("all-features", shelf, "--on", sample, "--anyway", "no names at night").json
    assert against["evidence"]["differences"][0]["high"] < 0
    better = promote("artist-context", shelf, "--on", sample).json
    accuracy, auroc = better["evidence"]["differences"]
    assert (accuracy["measure"], auroc["measure"]) == ("accuracy", "macro_auroc")
    assert accuracy["low"] > 0
    assert accuracy["difference"] == pytest.approx(-against["evidence"]["differences"][0]["difference"])
    assert better["evidence"]["labelled"] <= better["evidence"]["tracks"] == 3000
    assert 0 < better["evidence"]["changed"] < 3000

    first, second = kept(shelf)
    assert (first["reason"], second["reason"]) == ("no names at night", None)
    assert (first["evidence"], second["evidence"]) == (against["evidence"], better["evidence"])
    loaded = {name: bundles.load(name).sha256 for name in ("artist-context", "all-features")}
    assert (first["from"]["sha256"], first["to"]["sha256"]) == (loaded["artist-context"], loaded["all-features"])
    assert second["to"]["sha256"] == first["from"]["sha256"]
    assert (shelf / "champion").read_text() == "artist-context\n"


def test_without_evidence_a_reason_is_needed_unless_nothing_changes(shelf: Path) -> None:
    assert "Nothing says that lda-3d 1.4.0 is as good" in refused(promote("lda-3d", shelf))
    assert promote("artist-context", shelf).json["status"] == "already champion"
    assert kept(shelf) == []
    for reason in ("a trial", "two\nlines\u2028of Röyksopp", "a byte that is no text: \udcff"):
        assert promote("lda-3d", shelf, "--anyway", reason).json["evidence"] is None
        assert promote("lda-2d", shelf, "--anyway", "back").code == 0
        assert kept(shelf)[-2]["reason"] == reason
    assert [each.promised for each in promotions.of(shelf)] == [None] * 6


def test_nights_of_the_champion_with_the_shadow_are_evidence(shelf: Path, sample: Path, tmp_path: Path) -> None:
    warehouse = tmp_path / "w.duckdb"
    for day in (DAY, NEXT):
        score(sample, warehouse, day, "--shadow", "all-features")
    said = refused(promote("all-features", shelf, "--warehouse", warehouse))
    assert f"(2 nights, {DAY} to {NEXT})" in said
    found = promote("all-features", shelf, "--warehouse", warehouse, "--run-date", NEXT, "--anyway", "a trial").json
    evidence = found["evidence"]
    on_file = promote("artist-context", shelf, "--on", sample).json["evidence"]
    assert evidence["on"] == f"{warehouse} ({NEXT})"
    for name in ("tracks", "changed", "labelled", "artists"):
        assert evidence[name] == on_file[name]
    for night, file in zip(evidence["differences"], on_file["differences"], strict=True):
        assert night["difference"] == pytest.approx(-file["difference"], abs=1e-6)
    assert "no night of 2026-11-25" in refused(
        promote("lda-3d", shelf, "--warehouse", warehouse, "--run-date", "2026-11-25")
    )

    folder = shelf / "all-features"  # another training under the same name and version
    shutil.copytree(bundles.available()["all-features"], folder)
    (folder / "bundle.json").write_text((folder / "bundle.json").read_text() + "\n")
    assert "another bundle of the name" in refused(promote("all-features", shelf, "--warehouse", warehouse))


def test_what_either_was_trained_on_and_too_little_are_no_evidence(shelf: Path, tmp_path: Path) -> None:
    few = write_csv(tmp_path / "few.csv", tracks(40))
    assert "40 labelled tracks of 1 artists, which tells too little" in refused(promote("lda-3d", shelf, "--on", few))
    none = write_csv(tmp_path / "none.csv", tracks(40, music_genre=""))
    assert "0 labelled tracks" in refused(promote("lda-3d", shelf, "--on", none))

    folder = shelf / "mine"
    shutil.copytree(bundles.available()["lda-3d"], folder)
    manifest = json.loads((folder / "bundle.json").read_text())
    with landed(few) as (steps, _):
        manifest["training_data"]["sha256"] = landing.fingerprint(steps.database, sources.resolve([str(few)]))
    (folder / "bundle.json").write_text(json.dumps(manifest))
    assert "is what lda-3d 1.4.0 was trained on" in refused(promote("mine", shelf, "--on", few))


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (("--on", "none.csv"), 66, "none.csv: there is no such file"),
        (("--warehouse", "none.duckdb"), 78, "there is no such warehouse"),
        (("--warehouse", "none.duckdb", "--run-date", "soon"), 64, "soon"),
        (("--on", "a.csv", "--warehouse", "w.duckdb"), 64, "two comparisons"),
        (("--run-date", DAY), 64, "Name the --warehouse too"),
        (("--anyway", " "), 64, "needs a reason"),
    ],
)
def test_a_wrong_option_is_one_line(shelf: Path, more: tuple[str, ...], code: int, said: str) -> None:
    result = run("models", "promote", "lda-3d", "--bundles", shelf, *more, cwd=shelf)
    assert (result.code, said in result.error) == (code, True), result.err
    assert not (shelf / "champion").exists()


def test_a_broken_champion_is_replaced_for_a_reason(shelf: Path) -> None:
    for alias in ("gone\n", "\n"):
        (shelf / "champion").write_text(alias)
        result = run("models", "promote", "lda-3d", "--bundles", shelf)
        assert result.code == 78
        assert "The present champion cannot be compared with" in result.error
    assert promote("lda-3d", shelf, "--anyway", "it is gone").code == 0
    assert kept(shelf)[0]["from"] is None
    assert bundles.champion(shelf) == "lda-3d"


def test_where_the_promotion_cannot_be_kept_nothing_is_promoted(shelf: Path) -> None:
    (shelf / "promotions.jsonl").mkdir()
    result = run("models", "promote", "lda-3d", "--bundles", shelf, "--anyway", "a trial")
    assert (result.code, "promotions.jsonl cannot be written" in result.error) == (74, True)
    assert not (shelf / "champion").exists()


def test_the_first_night_counts_flips_against_what_the_comparison_promised(shelf: Path, tmp_path: Path) -> None:
    few, warehouse, limit = tmp_path / "few.csv", tmp_path / "w.duckdb", ("--bundles", shelf)
    synthetic.write(400, 1, few)
    score(few, warehouse, DAY, *limit)
    evidence = promote("all-features", shelf, "--on", few, "--anyway", "a trial").json["evidence"]
    score(few, warehouse, NEXT, *limit)
    of_model = "SELECT count(*) AS n FROM flips WHERE cause = 'model'"
    (check,) = ask(warehouse, "FROM checks WHERE name = 'promised_flips'")
    assert check["observed"] == ask(warehouse, of_model)[0]["n"] == evidence["changed"]  # the same tracks
    assert (check["allowed"], check["verdict"]) == (2 * evidence["changed"], "passed")
    assert f"{evidence['changed']:,} genres changed by the model, the comparison promised about" in check["sentence"]

    # The comparison of another promotion saw hardly any change: the night says so.
    lines = [json.loads(line) for line in (shelf / "promotions.jsonl").read_text().splitlines()]
    lines[-1]["evidence"]["changed"] = 9
    (shelf / "promotions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert "promised_flips" in score(few, warehouse, NEXT, *limit, "--force")["warnings"]
    headline = findings.verdict(nights.read(warehouse, run_date=NEXT)[0]).headline
    assert "genres, where its comparison promised about 9." in headline
    score(few, warehouse, "2026-11-22", *limit)  # the night after has nothing to hold against
    assert ask(warehouse, "SELECT run_date FROM checks WHERE name = 'promised_flips' AND run_date > '2026-11-21'") == []

    lines[-1]["to"]["sha256"] = "that of another bundle"
    (shelf / "promotions.jsonl").write_text(json.dumps(lines[-1]))
    night = ("score", few, "--warehouse", warehouse, "--run-date", "2026-11-23", "--force", "--log-format", "text")
    told = run(*night, *limit)
    assert (told.code, "is not the bundle that was promoted" in told.err) == (0, True), told.err


@pytest.mark.parametrize("text", ["nonsense", "{}", '{"to": 1, "evidence": null}', "[" * 100_000])
def test_a_line_that_is_no_promotion_is_told(shelf: Path, text: str) -> None:
    (shelf / "promotions.jsonl").write_text(f"{text}\n")
    with pytest.raises(StorageError, match="has a line that is no promotion"):
        promotions.of(shelf)
