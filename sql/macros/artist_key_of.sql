-- The artist without regard to case: 'BEYONCÉ' and 'Beyoncé', 'ΣΑΣ' and 'σας', 'ß' and 'ss' are one.
-- parameters: artist_name
replace(lower(upper(artist_name)), 'ß', 'ss')
