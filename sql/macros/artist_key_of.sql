-- The artist without regard to case, guests, and characters that show nothing: 'BEYONCÉ', 'Beyoncé' and 'Beyoncé feat. Shakira' are one.
-- parameters: artist_name
-- Guests come after a semicolon, 'feat.', 'ft.' or 'featuring'; '&' and commas are part of names. 'ß' and 'ss' are one, and so are
-- 'ΣΑΣ' and 'σας'.
replace(
    lower(upper(
        CASE
            WHEN regexp_matches(
                artist_name,
                ';|(?i:\b(?:feat|ft|featuring)\b)|[\x{AD}\x{200B}-\x{200F}\x{202A}-\x{202E}\x{2060}-\x{2064}\x{2066}-\x{2069}\x{FEFF}]'
            )
                THEN coalesce(
                    nullif(
                        trim(regexp_replace(
                            regexp_replace(
                                artist_name, '[\x{AD}\x{200B}-\x{200F}\x{202A}-\x{202E}\x{2060}-\x{2064}\x{2066}-\x{2069}\x{FEFF}]', '', 'g'
                            ),
                            '(?is)\s*;.*$|\s+[(\[]?(?:feat[.]?|ft[.]?|featuring)\s.*$',
                            ''
                        )),
                        ''
                    ),
                    artist_name
                )
            ELSE artist_name
        END
    )),
    'ß',
    'ss'
)
