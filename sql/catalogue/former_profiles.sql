-- The profiles that others are held against; a part of them may be bound to this name.
-- reads: artist_profiles
-- makes: former_profiles (view)
-- scope: artist
FROM artist_profiles
