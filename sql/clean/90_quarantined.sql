-- Rows that are kept out, whole, with every reason: parse failures, broken rules, contradictions.
SELECT
    *,
    left(md5(concat_ws('|', file, row_number, received)), 16) AS quarantine_id
FROM (
    SELECT
        run.run_id,
        run.run_date,
        files.file,
        -- a row that could not be parsed was counted in its file, but did not land
        landed.rowid - files.first_row_id + 1 + (
            SELECT count(*)
            FROM unparsed
            WHERE unparsed.file = files.file AND unparsed.landed_before <= landed.rowid - files.first_row_id
        ) AS row_number,
        landed.track_id,
        coalesce(
            landed.broken_rules,
            ['instance_id.unique: a later row of the same track says something else']
        ) AS reasons,
        coalesce(
            landed.received,
            to_json({
                'instance_id': landed.track_id, 'artist_name': landed.artist_name, 'track_name': landed.track_name,
                'popularity': landed.popularity, 'acousticness': landed.acousticness, 'danceability': landed.danceability,
                'duration_ms': landed.duration_ms, 'energy': landed.energy, 'instrumentalness': landed.instrumentalness,
                'key': landed."key", 'liveness': landed.liveness, 'loudness': landed.loudness, 'mode': landed."mode",
                'speechiness': landed.speechiness, 'tempo': landed.tempo, 'obtained_date': landed.obtained_date,
                'valence': landed.valence, 'music_genre': landed.music_genre
            })::VARCHAR
        ) AS received
    FROM landed
    CROSS JOIN run
    LEFT JOIN doubled ON doubled.row_id = landed.rowid
    INNER JOIN files ON landed.rowid >= files.first_row_id AND landed.rowid < files.first_row_id + files.row_count
    WHERE landed.broken_rules IS NOT NULL OR doubled.contradicts
    UNION ALL BY NAME
    SELECT
        run.run_id,
        run.run_date,
        unparsed.file,
        unparsed.row_number,
        NULL AS track_id,
        ['row.' || unparsed.reason] AS reasons,
        unparsed.received
    FROM unparsed
    CROSS JOIN run
)
