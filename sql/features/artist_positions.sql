-- What is known of each artist, with a number, from 1, by which it is found in a matrix of all of them.
-- reads: profiles
-- makes: artist_positions (table)
-- scope: artist
SELECT
    row_number() OVER ()::INTEGER AS artist_position,
    profiles.*
FROM profiles
