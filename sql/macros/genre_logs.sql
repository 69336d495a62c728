-- The logarithms of the ten probabilities, in the order of the genres; the smallest counts as one in a million.
-- parameters: p
[
    ln(greatest(p."Alternative", 1e-6)),
    ln(greatest(p."Anime", 1e-6)),
    ln(greatest(p."Blues", 1e-6)),
    ln(greatest(p."Classical", 1e-6)),
    ln(greatest(p."Country", 1e-6)),
    ln(greatest(p."Electronic", 1e-6)),
    ln(greatest(p."Hip-Hop", 1e-6)),
    ln(greatest(p."Jazz", 1e-6)),
    ln(greatest(p."Rap", 1e-6)),
    ln(greatest(p."Rock", 1e-6))
]
