"""Lake tables: Delta and Iceberg tables that their own libraries wrote, at every version, and what is broken in them."""

from __future__ import annotations

import base64
import json
import os
import shutil
import struct
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from genrepipe.core.errors import ConfigurationError, SourceMissing, SourceShapeError, StorageError, UsageError
from genrepipe.engines import prepare
from genrepipe.ingest import sources
from tests.support import ask, run, run_of, score, track, tracks, write_csv

if TYPE_CHECKING:
    from collections.abc import Iterator

NEEDED = "lake tables need the extra: pip install 'genrepipe[lake]'"
deltalake = pytest.importorskip("deltalake", reason=NEEDED)
pytest.importorskip("pyiceberg", reason=NEEDED)
pa = pytest.importorskip("pyarrow", reason=NEEDED)

from pyarrow import parquet  # noqa: E402
from pyiceberg import manifest as manifests  # noqa: E402
from pyiceberg.catalog.sql import SqlCatalog  # noqa: E402
from pyiceberg.io.pyarrow import PyArrowFileIO  # noqa: E402
from pyiceberg.typedef import Record  # noqa: E402

FORMATS = ["Delta", "Iceberg"]


def rows(*numbers: int, **changes: Any) -> Any:
    """Return good tracks with these ids, numbers as numbers, as a table of Arrow."""
    frame = pl.DataFrame([track(number, **changes) for number in numbers])
    numeric = [name for name in frame.columns if name in {"energy", "loudness", "tempo", "duration_ms"}]
    columns = {name: frame[name].to_list() for name in frame.columns}
    columns |= {name: frame[name].cast(pl.Float64, strict=False).to_list() for name in numeric}
    columns["instance_id"] = list(numbers)
    return pa.table(columns)


class Lake:
    """A table of tracks of one format; each call makes one version."""

    def __init__(self, folder: Path, form: str) -> None:
        self.form = form
        self.folder = folder / "lake" / "tracks"
        self.versions: list[str] = []
        self.catalog: Any = None

    def append(self, data: Any, **options: Any) -> Lake:
        if self.form == "Delta":
            deltalake.write_deltalake(self.folder, data, mode="append", **options)
        else:
            self.table(data).append(data)
        return self._noted()

    def overwrite(self, data: Any) -> Lake:
        if self.form == "Delta":
            deltalake.write_deltalake(self.folder, data, mode="overwrite")
        else:
            self.table(data).overwrite(data)
        return self._noted()

    def delete(self, predicate: str) -> Lake:
        if self.form == "Delta":
            deltalake.DeltaTable(self.folder).delete(predicate)
        else:
            self.table(None).delete(predicate)
        return self._noted()

    def table(self, data: Any) -> Any:
        """Return the Iceberg table, created with the columns of ``data`` where it is not there."""
        if self.catalog is None:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            self.catalog = SqlCatalog(
                "c", uri=f"sqlite:///{self.folder.parent}/c.db", warehouse=str(self.folder.parent)
            )
            self.catalog.create_namespace("music")
            self.catalog.create_table("music.tracks", schema=data.schema, location=f"file://{self.folder}")
        return self.catalog.load_table("music.tracks")

    def _noted(self) -> Lake:
        if self.form == "Delta":
            self.versions.append(str(deltalake.DeltaTable(self.folder).version()))
        else:
            self.versions.append(str(self.table(None).current_snapshot().snapshot_id))
        return self

    def files(self, pattern: str) -> list[Path]:
        return sorted(self.folder.glob(pattern))


@pytest.fixture(params=FORMATS)
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lake]:
    found = Lake(tmp_path, request.param)
    yield found
    if found.catalog is not None:
        found.catalog.engine.dispose()


def read(argument: object, column: str = "track_id") -> list[Any]:
    """Return a column of the accepted rows of a source, in its order."""
    with (
        sources.open_source([str(argument)]) as source,
        prepare.landed_in_memory(source, run_of()) as (steps, found),
    ):
        assert found.counts.accepted == found.counts.received, steps.database.rows("SELECT broken_rules FROM landed")
        return [value for (value,) in steps.database.rows(f'SELECT "{column}" FROM accepted ORDER BY row_id')]


def test_the_newest_version_is_read_or_the_one_that_is_named(lake: Lake) -> None:
    lake.append(rows(1, 2)).append(rows(3)).overwrite(rows(7, 8, 9)).delete("instance_id = 8")
    first, second, third, _ = lake.versions if lake.form == "Delta" else [*lake.versions[:2], *lake.versions[-2:]]
    assert read(lake.folder) == ["7", "9"]
    assert read(f"{lake.folder}/") == ["7", "9"]
    assert read(f"{lake.folder}::{first}") == ["1", "2"]
    assert read(f"{lake.folder}::{second}") == ["1", "2", "3"]
    assert read(f"{lake.folder}::{third}") == ["7", "8", "9"]


def test_a_version_is_the_same_input_at_every_run(lake: Lake, tmp_path: Path) -> None:
    """It is recognised, verified, and stays what it is when newer ones come; ledger and quarantine name it."""
    for number in range(0, 40, 4):
        lake.append(rows(*range(number, number + 4)))
    lake.append(rows(99, energy="7"))
    warehouse = tmp_path / "w.duckdb"
    first = score(lake.folder, warehouse)
    assert (first["received"], first["predicted"], first["quarantined"]) == (41, 40, 1)
    assert score(lake.folder, warehouse)["status"] == "already published"
    name = f"{lake.folder}::{lake.versions[-1]}"
    assert ask(warehouse, "SELECT sources FROM runs") == [{"sources": [name]}]
    assert ask(warehouse, "SELECT file, row_number FROM quarantine") == [{"file": name, "row_number": 41}]
    lake.append(rows(100))
    again = run("verify", "--run", first["run_id"], "--warehouse", warehouse, "--output", "json")
    assert (again.code, again.json["status"]) == (0, "identical")
    assert score(name, warehouse)["status"] == "already published"
    assert score(lake.folder, warehouse)["received"] == 42


def test_of_two_rows_with_one_id_the_later_commit_stands(lake: Lake) -> None:
    for number in range(8):
        lake.append(rows(1, artist_name=f"A{number}"))
    with (
        sources.open_source([str(lake.folder)]) as source,
        prepare.landed_in_memory(source, run_of()) as (steps, _),
    ):
        assert steps.database.rows("SELECT artist_name FROM accepted") == [("A7",)]


def test_the_age_of_a_version_is_that_of_its_commit(lake: Lake) -> None:
    lake.append(rows(1))
    with sources.open_source([str(lake.folder)]) as source:
        assert 0 <= sources.age_hours(source) < 0.1
    if lake.form == "Delta":
        (entry,) = lake.files("_delta_log/*.json")
        lines = [json.loads(line) for line in entry.read_text().splitlines()]
        for line in lines:
            if "commitInfo" in line:
                line["commitInfo"]["timestamp"] -= 10 * 3_600_000
        entry.write_text("\n".join(map(json.dumps, lines)))
    else:
        changed(
            lake,
            lambda metadata: [
                s.update({"timestamp-ms": s["timestamp-ms"] - 10 * 3_600_000}) for s in metadata["snapshots"]
            ],
        )
    with sources.open_source([str(lake.folder)]) as source:
        assert sources.age_hours(source) == pytest.approx(10, abs=0.1)


def test_a_version_whose_log_does_not_say_is_as_old_as_its_file(tmp_path: Path) -> None:
    lake = Lake(tmp_path, "Delta").append(rows(1))
    (entry,) = lake.files("_delta_log/*.json")
    entry.write_text("\n".join(line for line in entry.read_text().splitlines() if "commitInfo" not in line))
    os.utime(entry, (entry.stat().st_mtime - 7200, entry.stat().st_mtime - 7200))
    with sources.open_source([str(lake.folder)]) as source:
        assert sources.age_hours(source) == pytest.approx(2, abs=0.1)


def changed(lake: Lake, change: Any) -> None:
    """Change the newest metadata of an Iceberg table."""
    path = lake.files("metadata/*.metadata.json")[-1]
    metadata = json.loads(path.read_text())
    change(metadata)
    path.write_text(json.dumps(metadata))


@pytest.mark.parametrize("place", ["moved", "with space", "50% off", "a#b?c", "ünï"])
def test_a_table_may_be_moved(lake: Lake, tmp_path: Path, place: str) -> None:
    lake.append(rows(1, 2)).delete("instance_id = 1")
    (tmp_path / place).mkdir()
    shutil.move(lake.folder, tmp_path / place / "tracks")
    assert read(tmp_path / place / "tracks") == ["2"]


def test_a_table_that_the_library_would_look_for_elsewhere(tmp_path: Path) -> None:
    lake = Lake(tmp_path, "Delta").append(rows(1))
    shutil.move(lake.folder, tmp_path / "50%25")
    result = run("validate", tmp_path / "50%25")
    assert (result.code, "where a name has %25. Rename the folder" in result.error) == (64, True)


def test_a_table_is_named_from_where_the_run_is(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.append(rows(1))
    monkeypatch.chdir(lake.folder.parent)
    assert read("tracks") == ["1"]
    monkeypatch.chdir(lake.folder)
    assert read(".") == ["1"]


def test_partitions_are_columns(tmp_path: Path) -> None:
    data = pa.concat_tables(
        [rows(1, mode="Major", key="A#"), rows(2, mode="Minor", key="A"), rows(3, mode="Minor", key="A#")]
    )
    lake = Lake(tmp_path, "Delta").append(data, partition_by=["mode", "key"])
    assert sorted(zip(read(lake.folder), read(lake.folder, "mode"), read(lake.folder, "key"), strict=True)) == [
        ("1", "Major", "A#"), ("2", "Minor", "A"), ("3", "Minor", "A#"),
    ]  # fmt: skip


def test_a_partition_without_a_value_and_one_of_a_number(tmp_path: Path) -> None:
    data = pa.concat_tables([rows(1, artist_name="AC/DC?"), rows(2, artist_name=""), rows(3, artist_name="a b%20=c")])
    lake = Lake(tmp_path, "Delta").append(data, partition_by=["artist_name", "tempo", "instance_id"])
    found = dict(zip(read(lake.folder), read(lake.folder, "artist_name"), strict=True))
    assert found == {"1": "AC/DC?", "2": None, "3": "a b%20=c"}
    assert read(lake.folder, "tempo") == [pytest.approx(100.889)] * 3


def test_iceberg_partitions_are_columns(tmp_path: Path) -> None:
    lake = Lake(tmp_path, "Iceberg")
    table = lake.table(rows(1))
    with table.update_spec() as spec:
        spec.add_identity("mode")
        spec.add_identity("artist_name")
    lake.append(pa.concat_tables([rows(1, mode="Major"), rows(2, mode="Minor", artist_name="AC/DC ?")]))
    assert dict(zip(read(lake.folder), read(lake.folder, "mode"), strict=True)) == {"1": "Major", "2": "Minor"}
    assert "AC/DC ?" in read(lake.folder, "artist_name")
    lake.catalog.engine.dispose()


def test_columns_that_came_later_are_missing_before(tmp_path: Path) -> None:
    lake = Lake(tmp_path, "Delta").append(rows(1).drop_columns(["tempo"]))
    lake.append(rows(2), schema_mode="merge")
    assert read(lake.folder, "tempo") == [None, pytest.approx(100.889)]
    other = Lake(tmp_path / "b", "Iceberg").append(rows(1).drop_columns(["tempo"]))
    with other.table(None).update_schema() as update:
        update.union_by_name(rows(1).schema)
    other.append(rows(2))
    assert read(other.folder, "tempo") == [None, pytest.approx(100.889)]
    other.catalog.engine.dispose()


def test_columns_of_any_type(lake: Lake) -> None:
    data = rows(1)
    for name, array in {
        "instance_id": pa.array([Decimal("7.000")], pa.decimal128(10, 3)), "energy": pa.array([0.5], pa.float32()),
        "popularity": pa.array([27], pa.int32()), "artist_name": pa.array(["Å"], pa.large_string()),
        "track_name": pa.array([b"\xc3\xa9"], pa.binary()), "obtained_date": pa.array([date(2026, 4, 4)]),
        "valence": pa.array([Decimal("0.50")], pa.decimal128(5, 2)),
    }.items():  # fmt: skip
        data = data.set_column(data.schema.get_field_index(name), name, array)
    lake.append(data)
    assert [read(lake.folder, name)[0] for name in ("track_id", "artist_name", "track_name", "valence", "energy")] == [
        "7", "Å", "é", 0.5, 0.5,
    ]  # fmt: skip


def test_a_list_is_refused_by_the_name_of_its_column(lake: Lake) -> None:
    data = rows(1)
    lake.append(data.set_column(data.schema.get_field_index("artist_name"), "artist_name", pa.array([["A", "B"]])))
    with pytest.raises(SourceShapeError, match=rf"{lake.versions[0]}: column artist_name is a list"):
        read(lake.folder)


def test_an_empty_table_holds_no_tracks(lake: Lake) -> None:
    lake.append(rows(1)).delete("instance_id = 1")
    result = run("validate", lake.folder, "--output", "json")
    assert (result.code, result.json["received"]) == (65, 0)


def test_an_iceberg_table_without_a_snapshot(tmp_path: Path) -> None:
    lake = Lake(tmp_path, "Iceberg")
    lake.table(rows(1))
    assert read(lake.folder) == []
    with pytest.raises(SourceMissing, match="It has none"):
        read(f"{lake.folder}::7")
    lake.catalog.engine.dispose()


def test_a_version_that_is_not_there_names_those_that_are(lake: Lake) -> None:
    for number in range(12):
        lake.append(rows(number))
    with pytest.raises(
        SourceMissing, match=r"::77: there is no such version\. Those there are: .* and 4 older ones"
    ) as raised:
        read(f"{lake.folder}::77")
    assert all(
        (version in str(raised.value)) == (lake.form != "Delta" or int(version) > 3) for version in lake.versions[4:]
    )
    assert raised.value.exit_code == 66


@pytest.mark.parametrize("version", ["main", "-1", "1.0", "²", " 1", "9" * 25])
def test_what_is_no_version(lake: Lake, version: str) -> None:
    lake.append(rows(1))
    with pytest.raises(UsageError, match="is not the"):
        read(f"{lake.folder}::{version}")


def test_a_folder_of_files_has_no_versions(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", tracks(1))
    with pytest.raises(UsageError, match="is a folder of files, which have no versions"):
        read(f"{tmp_path}::1")


def test_files_of_a_table_are_not_read_without_it(lake: Lake) -> None:
    lake.append(rows(1)).overwrite(rows(2))
    for argument in (lake.folder.parent, f"{lake.folder}/**/*.parquet"):
        result = run("validate", argument)
        assert (result.code, f"{lake.form} table" in result.error) == (64, True)
        assert f"Name the table itself: {lake.folder}" in result.error


def test_tables_of_hudi_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "tracks" / ".hoodie").mkdir(parents=True)
    write_csv(tmp_path / "tracks" / "a.csv", tracks(1))
    for argument in (tmp_path / "tracks", tmp_path, f"{tmp_path}/tracks::1"):
        result = run("validate", argument)
        assert (result.code, "is a Hudi table" in result.error, "Write the rows that stand" in result.error) == (
            64,
            True,
            True,
        )


def test_a_table_that_is_both_is_read_as_delta(tmp_path: Path) -> None:
    lake = Lake(tmp_path, "Delta").append(rows(1))
    (lake.folder / "metadata").mkdir()
    (lake.folder / "metadata" / "v1.metadata.json").write_text("{}")
    assert read(lake.folder) == ["1"]


@pytest.mark.parametrize(("form", "package"), [("Delta", "deltalake"), ("Iceberg", "pyiceberg.table"), ("Delta", "pyarrow"), ("Iceberg", "pyiceberg.io.pyarrow")])  # fmt: skip
def test_the_extra_is_named_where_a_package_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, package: str
) -> None:
    lake = Lake(tmp_path, form).append(rows(1))
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        ConfigurationError,
        match=rf"is an? {form} table, and {package} is not installed. pip install '.\[lake\]' in the checkout",
    ):
        read(lake.folder)
    if lake.catalog:
        lake.catalog.engine.dispose()


def test_a_copy_is_removed_after_the_run(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    lake.append(rows(1))
    with sources.open_source([str(lake.folder), f"{lake.folder}::{lake.versions[0]}"]) as source:
        (part,) = source.parts  # named twice, read once
        assert part.path.is_relative_to(tmp_path / "temporary")
    assert list((tmp_path / "temporary").iterdir()) == []


def test_no_room_for_the_copy_is_one_line(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.append(rows(1))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "Error writing bytes to file")

    monkeypatch.setattr(parquet.ParquetWriter, "write_table", full)
    result = run("validate", lake.folder)
    assert (result.code, "cannot be copied: No space left on device. Free space in the temporary" in result.error) == (
        74,
        True,
    )


def test_a_table_of_many_files_is_read_in_row_groups(tmp_path: Path) -> None:
    lake = Lake(tmp_path, "Delta")
    for number in range(3):
        lake.append(rows(*range(number * 50_000, (number + 1) * 50_000)))
    with sources.open_source([str(lake.folder)]) as source:
        described = parquet.read_metadata(source.parts[0].path)
    assert (described.num_rows, described.num_row_groups) == (150_000, 3)


# --- Rows that were deleted, and what is broken ---


def deletion_vector(*positions: int) -> dict[str, Any]:
    """Return the descriptor of an inline deletion vector, as PROTOCOL.md of Delta has it."""
    from pyroaring import BitMap64

    blob = struct.pack("<I", 1681511377) + BitMap64(positions).serialize()
    blob += bytes(-len(blob) % 4)
    words = base64.b85encode(blob).translate(bytes.maketrans(
        b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~",
        b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#",
    ))  # fmt: skip
    return {
        "storageType": "i",
        "pathOrInlineDv": words.decode(),
        "sizeInBytes": len(blob),
        "cardinality": len(positions),
    }


def entry_of(lake: Lake) -> tuple[Path, list[dict[str, Any]]]:
    path = lake.files("_delta_log/*.json")[-1]
    return path, [json.loads(line) for line in path.read_text().splitlines()]


def rewritten(lake: Lake, protocol: dict[str, Any], **add: Any) -> None:
    """Change the protocol and the added files in the newest entry of a table's log."""
    path, lines = entry_of(lake)
    for line in lines:
        if "protocol" in line:
            line["protocol"] = protocol
        if "add" in line:
            line["add"] |= add
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")


DELETIONS = {
    "minReaderVersion": 3,
    "minWriterVersion": 7,
    "readerFeatures": ["deletionVectors"],
    "writerFeatures": ["deletionVectors"],
}


def test_rows_of_a_deletion_vector_are_not_read(tmp_path: Path) -> None:
    lake = Lake(tmp_path, "Delta").append(rows(*range(10)))
    rewritten(lake, DELETIONS)
    assert read(lake.folder) == [str(number) for number in range(10)]
    rewritten(lake, DELETIONS, deletionVector=deletion_vector(0, 4, 9))
    assert read(lake.folder) == ["1", "2", "3", "5", "6", "7", "8"]
    rewritten(
        lake,
        DELETIONS,
        deletionVector={**deletion_vector(0), "storageType": "p", "pathOrInlineDv": "file:///gone.bin", "offset": 1},
    )
    with pytest.raises((SourceShapeError, StorageError), match="tracks"):
        read(lake.folder)


@pytest.mark.parametrize(
    ("protocol", "settings", "says"),
    [
        ({"minReaderVersion": 2, "minWriterVersion": 5}, {"delta.columnMapping.mode": "name"}, "columnMapping"),
        ({"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": ["typeWidening"], "writerFeatures": ["typeWidening"]}, {}, "typeWidening"),
        ({"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": ["unheardOf"], "writerFeatures": ["unheardOf"]}, {}, "unheardOf"),
        ({"minReaderVersion": 9, "minWriterVersion": 9}, {}, ""),
    ],
)  # fmt: skip
def test_what_a_table_needs_and_is_not_done_is_refused(
    tmp_path: Path, protocol: dict[str, Any], settings: dict[str, str], says: str
) -> None:
    lake = Lake(tmp_path, "Delta").append(rows(1))
    path, lines = entry_of(lake)
    for line in lines:
        if "metaData" in line:
            line["metaData"]["configuration"] = settings
            if settings:
                fields = json.loads(line["metaData"]["schemaString"])
                for number, field in enumerate(fields["fields"]):
                    field["metadata"] = {
                        "delta.columnMapping.id": number + 1,
                        "delta.columnMapping.physicalName": f"col-{number}",
                    }
                line["metaData"]["schemaString"] = json.dumps(fields)
    path.write_text("\n".join(map(json.dumps, lines)))
    rewritten(lake, protocol)
    result = run("validate", lake.folder)
    assert (result.code, says in result.error, "Delta" in result.error) == (65, True, True)


def with_deletes(lake: Lake, content: Any, data: Any, **arguments: Any) -> None:
    """Add a snapshot with a file of deleted rows to an Iceberg table, as other engines write them (pyiceberg does not)."""
    table = lake.table(None)
    snapshot, io = table.current_snapshot(), PyArrowFileIO()
    path = f"{lake.folder}/data/deletes.parquet"
    parquet.write_table(data, path)

    class Deletes(manifests.ManifestWriterV2):
        def content(self) -> Any:
            return manifests.ManifestContent.DELETES

        @property
        def _meta(self) -> dict[str, str]:
            return {**super()._meta, "content": "deletes"}

    file = manifests.DataFile.from_args(
        content=content, file_path=path, file_format=manifests.FileFormat.PARQUET, partition=Record(),
        record_count=len(data), file_size_in_bytes=Path(path).stat().st_size, column_sizes={}, value_counts={},
        null_value_counts={}, nan_value_counts={}, lower_bounds={}, upper_bounds={}, key_metadata=None, split_offsets=None,
        sort_order_id=None, **({"equality_ids": None} | arguments),
    )  # fmt: skip
    file.spec_id = 0
    number, sequence = 4242, snapshot.sequence_number + 1
    with Deletes(
        table.spec(), table.schema(), io.new_output(f"{lake.folder}/metadata/deletes-m0.avro"), number, "null"
    ) as writer:
        writer.add_entry(manifests.ManifestEntry.from_args(
            status=manifests.ManifestEntryStatus.ADDED, snapshot_id=number, sequence_number=None,
            file_sequence_number=None, data_file=file,
        ))  # fmt: skip
    listed = io.new_output(f"{lake.folder}/metadata/snap-{number}.avro")
    with manifests.write_manifest_list(2, listed, number, snapshot.snapshot_id, sequence, "null") as out:
        out.add_manifests([*snapshot.manifests(io), writer.to_manifest_file()])

    def change(metadata: dict[str, Any]) -> None:
        metadata["snapshots"].append({
            **metadata["snapshots"][-1], "snapshot-id": number, "parent-snapshot-id": snapshot.snapshot_id,
            "sequence-number": sequence, "manifest-list": listed.location,
        })  # fmt: skip
        metadata |= {"current-snapshot-id": number, "last-sequence-number": sequence}
        metadata["refs"]["main"]["snapshot-id"] = number

    changed(lake, change)
    lake.catalog.engine.dispose()


def test_rows_of_position_deletes_are_not_read(tmp_path: Path) -> None:
    lake = Lake(tmp_path, "Iceberg").append(rows(*range(10)))
    (data,) = lake.files("data/*.parquet")
    deletes = pa.table({"file_path": [f"file://{data}"] * 3, "pos": pa.array([0, 4, 9], pa.int64())})
    with_deletes(lake, manifests.DataFileContent.POSITION_DELETES, deletes)
    assert read(lake.folder) == ["1", "2", "3", "5", "6", "7", "8"]
    assert read(f"{lake.folder}::{lake.versions[0]}") == [str(number) for number in range(10)]
    (lake.folder / "data" / "deletes.parquet").unlink()
    result = run("validate", lake.folder)
    assert (result.code, "what was deleted of it, is not there" in result.error) == (74, True)


def test_equality_deletes_are_refused_and_not_ignored(tmp_path: Path) -> None:
    lake = Lake(tmp_path, "Iceberg").append(rows(1, 2))
    with_deletes(lake, manifests.DataFileContent.EQUALITY_DELETES, pa.table({"instance_id": [1]}), equality_ids=[1])
    result = run("validate", lake.folder)
    assert (result.code, "equality deletes" in result.error) == (65, True)


def cut(path: Path, share: float = 0.5) -> None:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


BROKEN_DELTA = {
    "no entry of the log": ("_delta_log/*0.json", Path.unlink, 65),
    "an entry in the middle": ("_delta_log/*1.json", Path.unlink, 65),
    "an entry that is cut": ("_delta_log/*2.json", cut, 65),
    "the newest entry, which is empty": ("_delta_log/*2.json", lambda path: path.write_bytes(b""), 65),
    "an entry that is no JSON": ("_delta_log/*1.json", lambda path: path.write_bytes(b"\x00\xff{"), 65),
    "a data file": ("*.parquet", Path.unlink, 74),
    "a data file that is cut": ("*.parquet", cut, 74),
    "a data file that is empty": ("*.parquet", lambda path: path.write_bytes(b""), 74),
    "a data file that is CSV": ("*.parquet", lambda path: path.write_bytes(b"a,b\n1,2\n"), 74),
}  # fmt: skip
BROKEN_ICEBERG = {
    "metadata that are cut": ("metadata/*.metadata.json", cut, 65),
    "metadata that are empty": ("metadata/*.metadata.json", lambda path: path.write_bytes(b"{}"), 65),
    "a list of manifests": ("metadata/snap-*.avro", Path.unlink, 65),
    "a list that is cut": ("metadata/snap-*.avro", cut, 65),
    "a manifest": ("metadata/*-m0.avro", Path.unlink, 65),
    "a manifest that is cut": ("metadata/*-m0.avro", cut, 65),
    "a data file": ("data/*.parquet", Path.unlink, 74),
    "a data file that is cut": ("data/*.parquet", cut, 74),
    "a data file that is empty": ("data/*.parquet", lambda path: path.write_bytes(b""), 74),
}  # fmt: skip


@pytest.mark.parametrize(
    ("form", "kind"), [("Delta", k) for k in BROKEN_DELTA] + [("Iceberg", k) for k in BROKEN_ICEBERG]
)
def test_a_broken_table_is_one_line(tmp_path: Path, form: str, kind: str) -> None:
    lake = Lake(tmp_path, form)
    for number in range(3):
        lake.append(rows(number))
    if lake.catalog:
        lake.catalog.engine.dispose()
    pattern, break_, code = (BROKEN_DELTA if form == "Delta" else BROKEN_ICEBERG)[kind]
    for path in lake.files(pattern)[0 if "list" in kind else -1 :]:
        break_(path)
    result = run("validate", lake.folder)
    assert (result.code, str(lake.folder) in result.error) == (code, True), result.err


def test_a_checkpoint_stands_for_the_log_before_it(tmp_path: Path) -> None:
    lake = Lake(tmp_path, "Delta")
    for number in range(4):
        lake.append(rows(number))
    deltalake.DeltaTable(lake.folder).create_checkpoint()
    lake.append(rows(4))
    for path in lake.files("_delta_log/*.json")[:3]:
        path.unlink()
    assert read(lake.folder) == ["0", "1", "2", "3", "4"]
    assert read(f"{lake.folder}::3") == ["0", "1", "2", "3"]
    (checkpoint,) = lake.files("_delta_log/*.checkpoint.parquet")
    cut(checkpoint)
    assert run("validate", lake.folder).code == 65


@pytest.mark.parametrize("form", FORMATS)
def test_other_rows_than_the_log_says_stop_the_run(tmp_path: Path, form: str) -> None:
    lake = Lake(tmp_path, form).append(rows(1, 2, 3))
    (path,) = lake.files("**/*.parquet")
    data = parquet.read_table(path)
    parquet.write_table(data.slice(0, 2), path)
    if lake.catalog:
        lake.catalog.engine.dispose()
    result = run("score", lake.folder, "--warehouse", tmp_path / "w.duckdb")
    assert (result.code, "holds 3 rows by the table's log, of which 2 were read" in result.error) == (65, True), (
        result.err
    )


def test_a_log_without_counts_is_read(tmp_path: Path) -> None:
    lake = Lake(tmp_path, "Delta").append(rows(1, 2, 3))
    path, lines = entry_of(lake)
    for line in lines:
        line.get("add", {}).pop("stats", None)
    path.write_text("\n".join(map(json.dumps, lines)))
    assert read(lake.folder) == ["1", "2", "3"]


@pytest.mark.parametrize(
    "elsewhere", ["../../other.parquet", "file:///tmp/other.parquet", "/tmp/other.parquet", "..%2F..%2Fother.parquet"]
)
def test_files_outside_of_the_table_are_not_read(tmp_path: Path, elsewhere: str) -> None:
    lake = Lake(tmp_path, "Delta").append(rows(1))
    (path,) = lake.files("*.parquet")
    shutil.copy(path, tmp_path / "other.parquet")
    at, lines = entry_of(lake)
    for line in lines:
        if "add" in line:
            line["add"]["path"] = elsewhere
    at.write_text("\n".join(map(json.dumps, lines)))
    result = run("validate", lake.folder)
    assert (result.code, "lies outside of the table's folder" in result.error) == (65, True), result.err


def test_iceberg_files_outside_of_the_table_are_not_read(tmp_path: Path) -> None:
    lake = Lake(tmp_path, "Iceberg").append(rows(1))
    lake.catalog.engine.dispose()
    changed(lake, lambda metadata: metadata.update(location="file:///elsewhere"))
    result = run("validate", lake.folder)
    assert (result.code, "lies outside of the table's folder" in result.error) == (65, True), result.err


def test_which_metadata_are_the_newest(tmp_path: Path) -> None:
    """The numbers say it, not the order of names; a hint says it better; two of one number cannot be told apart."""
    lake = Lake(tmp_path, "Iceberg").append(rows(1)).append(rows(2))
    lake.catalog.engine.dispose()
    inner = lake.folder / "metadata"
    zero, one, two = lake.files("metadata/*.metadata.json")
    zero.unlink()
    one.rename(inner / "v9.metadata.json")
    two = two.rename(inner / "v10.metadata.json")
    assert read(lake.folder) == ["1", "2"]
    (inner / "version-hint.text").write_text("9\n")
    assert read(lake.folder) == ["1"]
    (inner / "version-hint.text").write_text("11")
    with pytest.raises(SourceShapeError, match="version-hint.text names version 11, and there is no such file"):
        read(lake.folder)
    (inner / "version-hint.text").unlink()
    shutil.copy(two, inner / "00010-abc.metadata.json")
    with pytest.raises(SourceShapeError, match=r"2 newest metadata files, such as 00010-abc.metadata.json"):
        read(lake.folder)
    (inner / "version-hint.text").write_text("v10.metadata.json")
    assert read(lake.folder) == ["1", "2"]


def test_tables_in_a_store_are_refused_with_what_to_do(tmp_path: Path) -> None:
    from genrepipe.ingest import folders

    with pytest.raises(UsageError, match="s3://lake/tracks is a Delta table.*Copy its folder to a disk, and name that"):
        folders.refuse_format("s3://lake/tracks", ["_delta_log"])
