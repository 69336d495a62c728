-- Macros that the other files share.

-- A row's id: the ordinal of its part in the source, and its number in that part, from 1. The order of ids is that of the source.
CREATE OR REPLACE TEMP MACRO row_id_of(part, row_number) AS (part::BIGINT << 40) + row_number;
CREATE OR REPLACE TEMP MACRO part_of(row_id) AS row_id >> 40;
CREATE OR REPLACE TEMP MACRO row_number_of(row_id) AS row_id & ((1::BIGINT << 40) - 1);

-- How many cells of a row hold more than spaces.
CREATE OR REPLACE TEMP MACRO filled(cells) AS
    len(list_filter(json_extract_string(to_json(cells), '$.*'), lambda cell: trim(cell) <> ''));

-- A hash, of 64 bits, of a row as it was received and of how it is cleaned, {cleaning}: where one of both differs, so does the hash.
CREATE OR REPLACE TEMP MACRO row_hash(cells) AS hash(cells, {cleaning});

-- The bucket of a key, from 0: the same in every process and in every version of DuckDB.
CREATE OR REPLACE TEMP MACRO bucket_of(key, buckets) AS (md5_number_lower(key) % buckets)::INTEGER;

-- The following take the text of one cell as the source holds it.

-- A name or word as people read it: NFC, every run of white space one space, none at the ends, '' is missing.
CREATE OR REPLACE TEMP MACRO tidy(cell) AS
    nullif(
        CASE
            WHEN regexp_matches(cell, '^ |  | $|[^\S ]|[\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}]')
                THEN trim(regexp_replace(nfc_normalize(cell), '[\s\x{85}\p{Z}]+', ' ', 'g'))
            ELSE nfc_normalize(cell)
        END,
        ''
    );

-- Whether a cell is printable ASCII with single spaces between words: there is nothing to tidy in it, as in most names.
CREATE OR REPLACE TEMP MACRO is_plain(cell) AS regexp_full_match(cell, '[!-~]+(?: [!-~]+)*');

-- A cell without the spaces around it; an empty one is missing.
CREATE OR REPLACE TEMP MACRO trimmed(cell) AS nullif(trim(cell), '');

-- Whether a cell says that its value is not known. {missing_markers} are those of contracts/source_tracks.odcs.yaml.
CREATE OR REPLACE TEMP MACRO is_missing(cell) AS trim(cell) IN ({missing_markers});

-- A cell without what surrounds it and shows nothing: white space, zero-width characters, byte order marks.
CREATE OR REPLACE TEMP MACRO bare(cell) AS regexp_replace(
    cell,
    '^[\s\x{85}\p{Z}\x{AD}\x{200B}-\x{200F}\x{2060}-\x{2064}\x{FEFF}]+|[\s\x{85}\p{Z}\x{AD}\x{200B}-\x{200F}\x{2060}-\x{2064}\x{FEFF}]+$',
    '',
    'g'
);

-- One spelling of an id: 7.0, 7.00, 7. and +7 are 7, and 1e+05 is 100000, up to ten places. With more of them programs write
-- what has lost digits; it stays as it is, and the contract refuses it.
CREATE OR REPLACE TEMP MACRO one_spelling(id) AS
    CASE
        WHEN regexp_full_match(id, '[+-]?[0-9]+[.]0*|[+][0-9]+') THEN ltrim(split_part(id, '.', 1), '+')
        WHEN regexp_full_match(id, '[0-9](?:[.][0-9]+)?[eE][+](?:0[0-9]|10)')
            AND try_cast(id AS DOUBLE) = trunc(try_cast(id AS DOUBLE))
            THEN CAST(try_cast(try_cast(id AS DOUBLE) AS BIGINT) AS VARCHAR)
        ELSE nullif(id, '')
    END;

-- The id of a track as text, in its one spelling; ="7" is how spreadsheets keep a text.
CREATE OR REPLACE TEMP MACRO track_id_of(cell) AS
    CASE
        WHEN regexp_full_match(cell, '[0-9]+') THEN cell
        WHEN regexp_full_match(cell, '[0-9]+[.]0') THEN left(cell, length(cell) - 2)
        ELSE one_spelling(bare(regexp_replace(bare(cell), '^="(.*)"$', '\1')))
    END;

-- The following three are for recipes. A value as value maps have it: in lower case, 7.0 as 7.
CREATE OR REPLACE TEMP MACRO spelling(cell) AS lower(one_spelling(bare(cell)));

-- A number in another unit, as text; what is none stays as it is, and so does -1, which says that it is not known.
CREATE OR REPLACE TEMP MACRO scaled(cell, factor) AS
    CASE
        WHEN try_cast(nullif(cell, '?') AS DOUBLE) IS NULL OR try_cast(cell AS DOUBLE) = -1 THEN cell
        ELSE CAST(try_cast(cell AS DOUBLE) * factor AS VARCHAR)
    END;

-- 3:25 or 1:02:03.5 in milliseconds, as text.
CREATE OR REPLACE TEMP MACRO clock_milliseconds(cell) AS
    CASE
        WHEN regexp_full_match(trim(cell), '(?:[0-9]{1,2}:)?[0-9]{1,3}:[0-5][0-9](?:[.][0-9]+)?')
            THEN CAST(list_reduce(
                list_transform(string_split(trim(cell), ':'), lambda figure: CAST(figure AS DOUBLE)),
                lambda whole, figure: whole * 60 + figure
            ) * 1000 AS VARCHAR)
        ELSE cell
    END;

-- A duration whose unit is told from the value: with a colon minutes and seconds, below 30 minutes, below 10,000 seconds.
CREATE OR REPLACE TEMP MACRO milliseconds_of(cell) AS
    CASE
        WHEN contains(cell, ':') THEN clock_milliseconds(cell)
        WHEN try_cast(nullif(cell, '?') AS DOUBLE) < 30 THEN scaled(cell, 60000)
        WHEN try_cast(nullif(cell, '?') AS DOUBLE) < 10000 THEN scaled(cell, 1000)
        ELSE cell
    END;

-- Whether an id is a number that was rounded when it was written.
CREATE OR REPLACE TEMP MACRO is_rounded(id) AS regexp_full_match(id, '[0-9](?:[.][0-9]+)?[eE][+][0-9]{2,3}');

-- A name without the characters that show nothing.
CREATE OR REPLACE TEMP MACRO shown(name) AS
    CASE
        WHEN regexp_matches(name, '[\x{AD}\x{200B}\x{200E}\x{200F}\x{202A}-\x{202E}\x{2060}-\x{2064}\x{2066}-\x{2069}\x{FEFF}]')
            THEN regexp_replace(name, '[\x{AD}\x{200B}\x{200E}\x{200F}\x{202A}-\x{202E}\x{2060}-\x{2064}\x{2066}-\x{2069}\x{FEFF}]', '', 'g')
        ELSE name
    END;

-- Names that are written as a list, ['A', "B"], joined by semicolons; also where a quote in a name is not escaped.
CREATE OR REPLACE TEMP MACRO names_of(cell) AS
    CASE
        WHEN starts_with(cell, '[') AND regexp_full_match(cell, '(?s)\[\s*[''"].*[''"]\s*\]\s*')
            THEN regexp_replace(
                regexp_replace(
                    regexp_extract(cell, '(?s)\[\s*[''"](.*)[''"]\s*\]\s*', 1), '[''"]\s*,\s*[''"]', '; ', 'g'
                ),
                '\\(.)', '\1', 'g'
            )
        ELSE cell
    END;

-- A title for display; NULL where it is not known.
CREATE OR REPLACE TEMP MACRO title_of(cell) AS
    CASE
        WHEN is_plain(cell) THEN CASE WHEN cell NOT IN ({missing_markers}) THEN cell END
        WHEN NOT is_missing(cell) THEN tidy(shown(cell))
    END;

-- An artist for display, of a name or a list of names; NULL where it is not known.
CREATE OR REPLACE TEMP MACRO artist_of(cell) AS CASE WHEN starts_with(cell, '[') THEN title_of(names_of(cell)) ELSE title_of(cell) END;

-- One of twelve keys: '1', 'Db' and 'c#' are C#. Spotify counts from C, which is 0; -1 is no key.
CREATE OR REPLACE TEMP MACRO key_of(cell) AS
    CASE
        WHEN cell IN ('C', 'C#', 'D', 'D#', 'E', 'F', 'F#', 'G', 'G#', 'A', 'A#', 'B') THEN cell
        WHEN is_missing(cell) OR regexp_full_match(trim(cell), '-1([.]0*)?') THEN NULL
        ELSE coalesce(
            MAP {
                '0': 'C', '1': 'C#', '2': 'D', '3': 'D#', '4': 'E', '5': 'F', '6': 'F#', '7': 'G', '8': 'G#', '9': 'A', '10': 'A#',
                '11': 'B', 'c': 'C', 'b#': 'C', 'c#': 'C#', 'db': 'C#', 'd': 'D', 'd#': 'D#', 'eb': 'D#', 'e': 'E', 'fb': 'E', 'f': 'F',
                'e#': 'F', 'f#': 'F#', 'gb': 'F#', 'g': 'G', 'g#': 'G#', 'ab': 'G#', 'a': 'A', 'a#': 'A#', 'bb': 'A#', 'b': 'B', 'cb': 'B'
            }[regexp_replace(split_part(replace(replace(lower(trim(cell)), '♯', '#'), '♭', 'b'), '/', 1), '[.]0*$', '')],
            trimmed(cell)
        )
    END;

-- Major or Minor: '1', 'major' and 'maj' are Major.
CREATE OR REPLACE TEMP MACRO mode_of(cell) AS
    CASE
        WHEN cell IN ('Major', 'Minor') THEN cell
        WHEN is_missing(cell) THEN NULL
        WHEN lower(trim(cell)) IN ('1', '1.0', 'major', 'maj', 'maj.', 'dur') THEN 'Major'
        WHEN lower(trim(cell)) IN ('0', '0.0', 'minor', 'min', 'min.', 'moll') THEN 'Minor'
        ELSE trimmed(cell)
    END;

-- A number, or NULL; one that is not a number (NaN) is missing. nullif stands between the cell and the cast because DuckDB
-- pushes a bare cast of a column into its CSV reader, where a cell that does not fit drops the whole row.
CREATE OR REPLACE TEMP MACRO number(cell) AS nullif(try_cast(nullif(cell, '?') AS FLOAT), 'nan'::FLOAT);

-- Whether a cell from which no number could be read holds something all the same.
CREATE OR REPLACE TEMP MACRO unreadable(cell) AS
    coalesce(try_cast(nullif(cell, '?') AS FLOAT) IS NULL AND NOT is_missing(cell), false);

-- The larger of a value and a bound; NULL where the value is, while greatest would return the bound.
CREATE OR REPLACE TEMP MACRO at_least(value, bound) AS CASE WHEN value < bound THEN bound ELSE value END;

-- Monotone transforms that make the skewed features nearly symmetric; the networks transform a track's own values
-- in the same way (genrepipe/training/networks.py). What is missing stays NULL.
CREATE OR REPLACE TEMP MACRO log_odds(share) AS ln(share) - ln(1 - share);
CREATE OR REPLACE TEMP MACRO unskewed_share(share) AS
    log_odds(CASE WHEN share > 0.9999 THEN 0.9999 ELSE at_least(share, 0.0001) END);
CREATE OR REPLACE TEMP MACRO unskewed_loudness(loudness) AS -ln(1 + at_least(5 - loudness, 0));
