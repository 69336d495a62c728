-- The tracks that the model finds most like a track: FROM similar_tracks('42', 10).
-- parameters: id, n
-- reads: predictions_latest
-- The space is the model's own: its ten log-probabilities, centred (Aitchison's distance between compositions, 1986,
-- https://doi.org/10.1007/978-94-009-4109-0). Two tracks are near where the model weighs all genres alike, not just the first.
SELECT track_id, artist_name, track_name, genre, probability, distance
FROM (
    SELECT
        other.track_id,
        other.artist_name,
        other.track_name,
        other.genre,
        round(other.probability::DOUBLE, 3) AS probability,
        round(sqrt(greatest(
            list_distance(genre_logs(other.probabilities), genre_logs(asked.probabilities)) ** 2
            - (list_sum(genre_logs(other.probabilities)) - list_sum(genre_logs(asked.probabilities))) ** 2 / 10,
            0
        )), 3) AS distance
    FROM predictions_latest AS other
    CROSS JOIN (FROM predictions_latest WHERE track_id = id) AS asked
    WHERE other.track_id <> asked.track_id
)
QUALIFY row_number() OVER (ORDER BY distance, track_id) <= n
ORDER BY distance, track_id
