-- The profiles of artists whose tracks changed, made anew; whether each is as it was; and the version of each that is not.
-- reads: profiles, former_profiles, runs
-- makes: renewed_profiles (table)
-- feeds: artist_profiles
-- scope: artist
-- A version is never given twice: the ledger grows with every command that writes.
SELECT
    made.*,
    coalesce(made IS NOT DISTINCT FROM old, false) AS is_as_before,
    greatest((SELECT count(*) FROM runs), coalesce(version_before + 1, 0))::INTEGER AS version
FROM (SELECT * EXCLUDE (version) FROM profiles) AS made
LEFT JOIN (SELECT * EXCLUDE (version) FROM former_profiles) AS old USING (artist_key)
LEFT JOIN (SELECT artist_key, version AS version_before FROM former_profiles) AS versions USING (artist_key)
