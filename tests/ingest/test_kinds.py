"""Files that people really have, one small example of each kind: what is read, and what is named that is not."""

from __future__ import annotations

import gzip
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl
import pytest

from genrepipe.core.errors import GenrepipeError
from tests.support import ask, landed, run, score, track, tracks, write_csv

if TYPE_CHECKING:
    from collections.abc import Callable


def values(*arguments: object, column: str = "track_id", **options: Any) -> list[Any]:
    """Return a column of the accepted rows, in the order of the source."""
    with landed(*arguments, **options) as (steps, found):
        assert found.counts.accepted == found.counts.received, steps.database.rows("SELECT broken_rules FROM landed")
        return [value for (value,) in steps.database.rows(f'SELECT "{column}" FROM accepted ORDER BY row_id')]


SPELLINGS = ["7", "7.0", "7.00", "7.", "+7", '="7"', "\t7", "7\u00a0", "\u200b7\ufeff", " 7 "]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_an_id_has_one_spelling(tmp_path: Path, spelling: str) -> None:
    assert values(write_csv(tmp_path / "t.csv", [track() | {"instance_id": spelling}])) == ["7"]


@pytest.mark.parametrize(
    ("cell", "id_"),
    [("1e+05", "100000"), ("1.5e+03", "1500"), ("1.25e+01", "1.25e+01"), ("12e4", "12e4"), ("0017", "0017"), ("a.0", "a.0"),
     ("1e+10", "10000000000"), ("-7.0", "-7")],
)  # fmt: skip
def test_what_is_no_other_spelling_stays(tmp_path: Path, cell: str, id_: str) -> None:
    path = write_csv(tmp_path / "t.csv", [track() | {"instance_id": cell}])
    with landed(path) as (steps, _):
        assert steps.database.rows("SELECT track_id FROM landed") == [(id_,)]


@pytest.mark.parametrize("cell", ["7.67681E+15", "1.234568e+11", "1e+16"])
def test_an_id_that_was_rounded_is_kept_out(tmp_path: Path, cell: str) -> None:
    with landed(write_csv(tmp_path / "t.csv", [track() | {"instance_id": cell}])) as (steps, _):
        assert steps.database.rows("SELECT broken_rules[1] FROM landed") == [
            ("instance_id.exact: must not be a rounded number",)
        ]


def typed(folder: Path, dtype: Any, ids: list[Any]) -> Path:
    rows = pl.DataFrame(tracks(len(ids))).with_columns(pl.Series("instance_id", ids, dtype))
    rows.write_parquet(folder / "t.parquet")
    return folder / "t.parquet"


@pytest.mark.parametrize(
    ("dtype", "ids", "expected"),
    [
        (pl.Float64, [76768.0, 5.0], ["76768", "5"]),
        (pl.Int64, [76768, -5], ["76768", "-5"]),
        (pl.Decimal(38, 10), ["76768", "5.5"], ["76768", "5.5"]),
        (pl.Binary, [b"a1", "é".encode()], ["a1", "é"]),
        (pl.Binary, [b"\x00\xff", b"\x01\x02"], ["00ff", "0102"]),
        (pl.Categorical, ["a", "b"], ["a", "b"]),
    ],
)
def test_ids_of_any_type_are_read_as_text(tmp_path: Path, dtype: Any, ids: list[Any], expected: list[str]) -> None:
    assert values(typed(tmp_path, dtype, ids)) == expected


def test_floating_point_ids_that_lost_digits_are_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(GenrepipeError, match="column instance_id holds ids as floating-point numbers beyond"),
        landed(typed(tmp_path, pl.Float64, [2.0**60])),
    ):
        pass


@pytest.mark.parametrize(
    ("column", "series", "says"),
    [
        ("artist_name", pl.Series([["A", "B"]]), "column artist_name is a list, and artist_name is one value"),
        ("artist_name", pl.Series([b"\xff\xfe\x00"]), "column artist_name is binary, and not UTF-8 text"),
        ("energy", pl.Series([{"value": 0.5}]), "column energy is of type STRUCT"),
    ],
)
def test_types_that_say_nothing_are_refused_by_name(tmp_path: Path, column: str, series: pl.Series, says: str) -> None:
    pl.DataFrame(tracks(1)).with_columns(series.alias(column)).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(GenrepipeError, match=says), landed(tmp_path / "t.parquet"):
        pass


def test_a_number_that_is_none_is_missing(tmp_path: Path) -> None:
    pl.DataFrame(tracks(1)).with_columns(tempo=pl.lit(float("nan"))).write_parquet(tmp_path / "t.parquet")
    assert values(tmp_path / "t.parquet", column="tempo") == [None]


@pytest.mark.parametrize("marker", ["nan", "None", "NULL", r"\N", "NA", "N/A", "-", " NaN ", "empty_field", "?", ""])
@pytest.mark.parametrize("column", ["artist_name", "tempo", "duration_ms"])
def test_words_for_what_is_not_known(tmp_path: Path, marker: str, column: str) -> None:
    assert values(write_csv(tmp_path / "t.csv", [track(1, **{column: marker})]), column=column) == [None]


@pytest.mark.parametrize("name", ["Nan", "Nana", "Nina", "NAN0", "N.A.S.A.", "--X"])
def test_names_that_look_like_them_are_names(tmp_path: Path, name: str) -> None:
    assert values(write_csv(tmp_path / "t.csv", [track(1, artist_name=name)]), column="artist_name") == [name]


ONE_ARTIST = [
    "Röyksopp", "RÖYKSOPP", "Röyk\u200bsopp", "\ufeffRöyksopp", "Röyksopp\u200e", "Röyksopp;Robyn", "Röyksopp feat. Robyn",
    "Röyksopp ft Robyn", "Röyksopp (featuring Robyn)", "['Röyksopp', 'Robyn']", '["Röyksopp"]', "Ro\u0308yksopp",
]  # fmt: skip


@pytest.mark.parametrize("name", ONE_ARTIST)
def test_an_artist_is_one_whatever_the_spelling(tmp_path: Path, name: str) -> None:
    assert values(write_csv(tmp_path / "t.csv", [track(1, artist_name=name)]), column="artist_key") == ["röyksopp"]


@pytest.mark.parametrize(
    "name",
    [
        "Earth, Wind & Fire",
        "Simon & Garfunkel",
        "Featherstone",
        "Little Feat",
        "Soft Machine",
        "[ALEXANDROS]",
        ";",
        "Daft",
    ],
)
def test_what_is_part_of_a_name_stays(tmp_path: Path, name: str) -> None:
    assert values(write_csv(tmp_path / "t.csv", [track(1, artist_name=name)]), column="artist_key") == [name.lower()]


def test_a_list_with_an_apostrophe_in_a_name(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", [track(1, artist_name="['Fat Freddy's Drop', \"Guns N' Roses\"]")])
    assert values(path, column="artist_name") == ["Fat Freddy's Drop; Guns N' Roses"]


@pytest.mark.parametrize(
    ("cell", "key"),
    [("0", "C"), ("11", "B"), ("1.0", "C#"), ("Bb", "A#"), ("D♭", "C#"), ("c#", "C#"), ("F#/Gb", "F#"), (" A ", "A")],
)
def test_spellings_of_keys(tmp_path: Path, cell: str, key: str) -> None:
    assert values(write_csv(tmp_path / "t.csv", [track(1, key=cell)]), column="key") == [key]


@pytest.mark.parametrize(
    ("cell", "mode"), [("1", "Major"), ("0", "Minor"), ("major", "Major"), ("MINOR", "Minor"), ("moll", "Minor")]
)
def test_spellings_of_modes(tmp_path: Path, cell: str, mode: str) -> None:
    assert values(write_csv(tmp_path / "t.csv", [track(1, mode=cell)]), column="mode") == [mode]


def csv_text(**changes: str) -> str:
    header, row = ",".join(track()), ",".join(track(1, artist_name="Sigur Rós", **changes).values())
    return f"{header}\n{row}\n"


def semicolons_and_commas(_: str) -> str:
    cells = [cell.replace(".", ",") for cell in track(1, artist_name="Sigur Rós").values()]
    return ";".join(track()) + "\n" + ";".join(cells) + "\n"


TEXTS: dict[str, tuple[Callable[[str], str], str, str]] = {
    "windows-1252": (str, "cp1252", "windows-1252"),
    "latin-1": (str, "latin-1", "latin-1"),
    "UTF-16, its mark says so": (str, "utf-16", "utf-8"),
    "UTF-16, little end first": (str, "utf-16-le", "utf-16"),
    "UTF-16, big end first": (str, "utf-16-be", "utf-16"),
    "astral characters": (lambda text: text.replace("Lights", "🎸"), "utf-16", "utf-16"),
    "two marks": (lambda text: "\ufeff\ufeff" + text, "utf-8", "utf-8"),
    "sep=": (lambda text: "sep=,\n" + text, "utf-8", "utf-8"),
    "comments": (lambda text: "# exported on 2026-11-24\n#\n" + text, "utf-8", "utf-8"),
    "the end of CP/M": (lambda text: text + "\x1a", "utf-8", "utf-8"),
    "padding": (lambda text: text + "\0" * 100, "utf-8", "utf-8"),
    "semicolons and decimal commas": (semicolons_and_commas, "utf-8", "utf-8"),
    "bars": (lambda text: text.replace(",", "|"), "utf-8", "utf-8"),
    "a line break in the header": (lambda text: text.replace("liveness", '"liveness\n(0-1)"', 1), "utf-8", "utf-8"),
    "spaces before quotes": (
        lambda text: text.replace("artist_name,", ' "artist_name",', 1).replace(",Sigur Rós,", ', "Sigur Rós",'), "utf-8", "utf-8",
    ),
    "returns alone": (lambda text: text.replace("\n", "\r"), "utf-8", "utf-8"),
}  # fmt: skip


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("packing", ["", ".gz"])
def test_texts_of_every_kind_are_read(tmp_path: Path, kind: str, packing: str) -> None:
    change, written, named = TEXTS[kind]
    content = change(csv_text()).encode(written)
    path = tmp_path / f"t.csv{packing}"
    path.write_bytes(gzip.compress(content) if packing else content)
    assert values(path, column="artist_name", encoding=named) == ["Sigur Rós"]
    assert values(path, encoding=named) == ["1"]
    assert values(path, column="loudness", encoding=named) == [pytest.approx(float(track(1)["loudness"]), rel=1e-6)]


def test_zeros_after_a_gzip_file(tmp_path: Path) -> None:
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(csv_text().encode()) + bytes(512))
    assert len(values(tmp_path / "t.csv.gz")) == 1


def test_quotes_are_characters_in_a_table_with_tabs(tmp_path: Path) -> None:
    rows = [track(1, track_name='"Heroes'), track(2, track_name='7" Mix'), track(3)]
    lines = ["\t".join(GOOD) for GOOD in [list(track()), *(list(row.values()) for row in rows)]]
    (tmp_path / "t.tsv").write_text("\n".join(lines) + "\n")
    assert values(tmp_path / "t.tsv", column="track_name") == ['"Heroes', '7" Mix', track(3)["track_name"]]


TABS = {
    "sep= names a tab": lambda lines: "sep=\t\n" + "\n".join(lines) + "\n",
    "a comment before": lambda lines: "# exported\n" + "\n".join(lines) + "\n",
    "the end of CP/M": lambda lines: "\n".join(lines) + "\n\x1a",
    "returns alone": lambda lines: "\r".join(lines) + "\r",
}


@pytest.mark.parametrize("kind", TABS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_quotes_in_tables_with_tabs_whatever_else_they_hold(tmp_path: Path, kind: str, encoding: str) -> None:
    names = ['"Heroes', '7" Mix']
    rows = [track(), *(track(number, track_name=name) for number, name in enumerate(names))]
    lines = ["\t".join(rows[0]), *("\t".join(row.values()) for row in rows[1:])]
    (tmp_path / "a.tsv").write_bytes(TABS[kind](lines).encode(encoding))
    assert values(tmp_path / "a.tsv", column="track_name") == names
    quoted = [line.replace("\t", '"\t"').join('""') for line in lines]
    quoted[1] = quoted[1].replace('""Heroes', '"Her""oes')
    quoted[2] = quoted[2].replace('7" Mix', '7"" Mix')
    (tmp_path / "b.tsv").write_bytes(TABS[kind](quoted).encode(encoding))
    assert values(tmp_path / "b.tsv", column="track_name") == ['Her"oes', '7" Mix']


def test_a_byte_order_mark_wins_over_the_name_of_an_encoding(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(csv_text().encode("utf-8-sig"))
    (tmp_path / "b.csv").write_bytes(csv_text().replace("1.0,", "2.0,", 1).encode("cp1252"))
    assert values(tmp_path, column="artist_name", encoding="windows-1252") == ["Sigur Rós"] * 2


def test_binary_columns_of_a_view_are_text(tmp_path: Path) -> None:
    name = '"Zoë\\x41\\\n'
    with duckdb.connect(tmp_path / "m.duckdb") as file:
        columns = ", ".join(f"'{cell}' AS \"{key}\"" for key, cell in track().items() if key != "artist_name")
        file.execute(f"CREATE TABLE t AS SELECT {columns}, ?::BLOB AS artist_name", [name.encode()])
        file.execute(
            "CREATE VIEW tracks AS FROM t; CREATE VIEW broken AS SELECT * REPLACE ('\\xFF'::BLOB AS artist_name) FROM t"
        )
    assert values(f"{tmp_path}/m.duckdb::tracks", column="artist_name") == ['"Zoë\\x41\\']
    result = run("validate", f"{tmp_path}/m.duckdb::broken")
    assert (result.code in {65, 74}, "broken" in result.error) == (True, True)


def test_a_line_too_long_for_the_reader_is_not_lost(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", [*tracks(30), track(31, track_name="x" * 35_000_000), *tracks(3)])
    with pytest.raises(GenrepipeError, match="holds 34 records, of which 33 could be read"), landed(path):
        pass


def test_a_first_line_that_is_a_row_is_no_header(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(",".join(track(1).values()) + "\n")
    result = run("validate", tmp_path / "t.csv")
    assert (result.code, "has no header: its first line is a row" in result.error) == (65, True)


def test_folders_that_are_no_part_of_a_delivery(tmp_path: Path) -> None:
    folder = tmp_path / "tracks"
    for number, name in enumerate(["a.csv", "_temporary/b.csv", ".ipynb_checkpoints/a.csv", "..data/a.csv", "c/d.csv"]):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_csv(folder / name, [track(number)])
    assert values(folder) == ["0", "4"]


def test_what_a_folder_holds_and_is_not_read_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "tracks"
    (folder / "inner").mkdir(parents=True)
    write_csv(folder / "a.csv", tracks(3))
    (folder / "b.csv.bz2").write_bytes(b"x")
    (folder / "inner" / "c.csv").symlink_to("nowhere.csv")
    warehouse = tmp_path / "w.duckdb"
    result = run("score", folder, "--warehouse", warehouse)
    assert result.code == 0, result.err
    assert "b.csv.bz2 (neither CSV, JSON Lines nor Parquet by its name)" in result.err
    assert "c.csv (a broken link)" in result.err
    (check,) = ask(warehouse, "SELECT observed, verdict FROM checks WHERE name = 'files_not_read'")
    assert check == {"observed": 2.0, "verdict": "warning"}


def test_linked_folders_are_read_once(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "tracks").mkdir()
    write_csv(tmp_path / "elsewhere" / "b.csv", [track(2)])
    write_csv(tmp_path / "tracks" / "a.csv", [track(1)])
    (tmp_path / "tracks" / "b").symlink_to("../elsewhere")
    (tmp_path / "elsewhere" / "up").symlink_to("../tracks")
    assert values(tmp_path / "tracks") == ["1", "2"]


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("_delta_log/0.json", "a Delta"),
        (".hoodie/hoodie.properties", "a Hudi"),
        ("metadata/v1.metadata.json", "an Iceberg"),
    ],
)
def test_tables_of_other_formats_among_files_are_named(tmp_path: Path, name: str, table: str) -> None:
    folder = tmp_path / "tracks" / "inner"
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_text("{}")
    write_csv(tmp_path / "tracks" / "a.csv", [track(1)])
    result = run("validate", tmp_path / "tracks")
    assert (result.code, f"{folder} is {table} table" in result.error) == (64, True)


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_folders_say_columns_that_a_file_lacks_and_no_others(tmp_path: Path, form: str) -> None:
    folder = tmp_path / "key=A%23" / "mode=Minor"
    folder.mkdir(parents=True)
    rows = pl.DataFrame([{**track(1), "mode": "Major"}]).drop("key")
    rows.write_csv(folder / "t.csv") if form == "csv" else rows.write_parquet(folder / "t.parquet")
    assert values(folder / f"t.{form}", column="key") == ["A#"]
    assert values(folder / f"t.{form}", column="mode") == ["Major"]


def test_an_empty_part_holds_no_rows(tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()
    write_csv(tmp_path / "b.csv", [track(1)])
    assert values(tmp_path / "a.csv", tmp_path / "b.csv") == ["1"]
    (tmp_path / "c.csv").touch()
    with pytest.raises(GenrepipeError, match="every part is empty"), landed(tmp_path / "a.csv", tmp_path / "c.csv"):
        pass


def test_two_columns_that_differ_in_case_are_refused(tmp_path: Path) -> None:
    pl.DataFrame(tracks(1)).with_columns(TEMPO=pl.lit("1")).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(GenrepipeError, match="the column tempo occurs 2 times"), landed(tmp_path / "t.parquet"):
        pass


def test_tables_of_sqlite_are_read(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "m.db") as file:
        names = ", ".join(f'"{name}"' for name in track())
        file.execute(f"CREATE TABLE tracks ({names})")
        file.executemany(
            f"INSERT INTO tracks VALUES ({', '.join('?' * len(track()))})", [list(row.values()) for row in tracks(3)]
        )
        file.execute("CREATE VIEW few AS SELECT * FROM tracks LIMIT 2")
    assert (
        values(f"{tmp_path}/m.db::tracks") == [str(number) for number in range(3)]
        or len(values(f"{tmp_path}/m.db::tracks")) == 3
    )
    assert len(values(f"{tmp_path}/m.db::few")) == 2
    with (
        pytest.raises(GenrepipeError, match="there is no such table. Tables: few, tracks"),
        landed(f"{tmp_path}/m.db::none"),
    ):
        pass


def test_labels_never_block_scoring(tmp_path: Path) -> None:
    warehouse = tmp_path / "w.duckdb"
    source = write_csv(
        tmp_path / "t.csv", [track(1, music_genre="Polka"), track(2, music_genre="Jazz"), track(3, music_genre="NA")]
    )
    assert score(source, warehouse)["predicted"] == 3
    assert ask(warehouse, "SELECT music_genre AS g FROM tracks ORDER BY track_id") == [
        {"g": None},
        {"g": "Jazz"},
        {"g": None},
    ]
    (check,) = ask(warehouse, "SELECT observed, verdict FROM checks WHERE name = 'unknown_labels'")
    assert check == {"observed": 1.0, "verdict": "warning"}


def test_labels_that_match_nothing_say_so(tmp_path: Path) -> None:
    warehouse = tmp_path / "w.duckdb"
    score(write_csv(tmp_path / "t.csv", tracks(3)), warehouse)
    result = run(
        "labels", write_csv(tmp_path / "l.csv", [{"instance_id": "x", "music_genre": "Jazz"}]), "--warehouse", warehouse
    )
    assert result.code == 0
    assert "No label matches a known track" in result.err


@pytest.mark.parametrize(
    ("check", "change"),
    [
        ("short_duration", {"duration_ms": "215"}),
        ("small_popularity", {"popularity": "0.41"}),
        ("nameless_artist_percent", {"artist_name": "Various Artists"}),
    ],
)
def test_columns_that_look_wrong_as_a_whole_are_warned_of(tmp_path: Path, check: str, change: dict[str, str]) -> None:
    warehouse = tmp_path / "w.duckdb"
    score(write_csv(tmp_path / "t.csv", tracks(30, **change)), warehouse)
    assert ask(warehouse, f"SELECT verdict FROM checks WHERE name = '{check}'") == [{"verdict": "warning"}]


def test_a_quarantine_id_is_no_number(tmp_path: Path) -> None:
    warehouse = tmp_path / "w.duckdb"
    score(
        write_csv(tmp_path / "t.csv", tracks(50, energy="7")),
        warehouse,
        "2026-11-20",
        "--limit",
        "quarantined_percent=100",
    )
    with duckdb.connect(warehouse, read_only=True) as connection:
        (ids,) = connection.execute("SELECT list(quarantine_id) FROM quarantine").fetchone() or ([],)
    assert len(ids) == 50
    assert all(each.startswith("q") and len(each) == 16 for each in ids)
