-- Macros that the other files share.

-- A row's id: the ordinal of its part in the source, and its number in that part, from 1. The order of ids is that of the source.
CREATE OR REPLACE TEMP MACRO row_id_of(part, row_number) AS (part::BIGINT << 40) + row_number;
CREATE OR REPLACE TEMP MACRO part_of(row_id) AS row_id >> 40;
CREATE OR REPLACE TEMP MACRO row_number_of(row_id) AS row_id & ((1::BIGINT << 40) - 1);

-- How many cells of a row hold more than spaces.
CREATE OR REPLACE TEMP MACRO filled(cells) AS
    len(list_filter(json_extract_string(to_json(cells), '$.*'), lambda cell: trim(cell) <> ''));

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

-- A cell without the spaces around it; an empty one is missing.
CREATE OR REPLACE TEMP MACRO trimmed(cell) AS nullif(trim(cell), '');

-- The id of a track as text: '7.0' and '7' are one.
CREATE OR REPLACE TEMP MACRO track_id_of(cell) AS
    CASE
        WHEN suffix(trimmed(cell), '.0') AND regexp_full_match(trimmed(cell), '[+-]?[0-9]+[.]0')
            THEN left(trimmed(cell), length(trimmed(cell)) - 2)
        ELSE trimmed(cell)
    END;

-- A number, or NULL. nullif stands between the cell and the cast because DuckDB pushes a bare cast of a column
-- into its CSV reader, where a cell that does not fit drops the whole row.
CREATE OR REPLACE TEMP MACRO number(cell) AS try_cast(nullif(cell, '?') AS FLOAT);

-- Whether a cell from which no number could be read holds something all the same.
CREATE OR REPLACE TEMP MACRO unreadable(cell) AS
    coalesce(try_cast(nullif(cell, '?') AS FLOAT) IS NULL AND trim(cell) NOT IN ('', '?'), false);

-- Monotone transforms that make the skewed features nearly symmetric; the networks transform a track's own values
-- in the same way (genrepipe/training/networks.py).
CREATE OR REPLACE TEMP MACRO unskewed_share(share) AS
    ln(greatest(least(share, 0.9999), 0.0001)) - ln(1 - greatest(least(share, 0.9999), 0.0001));
CREATE OR REPLACE TEMP MACRO unskewed_loudness(loudness) AS -ln(1 + greatest(5 - loudness, 0));
