"""Whether two Person Names are the same name, as different systems write it.

A Person Name has up to three groups, of letters, ideographs and sounds, parted by ``=``; a group
has five components, family name first, parted by ``^`` (DICOM PS3.5, 6.2.1). Systems keep some of
the groups, leave out middle names and titles, write a comma for the caret, capitals for small
letters, oe for a letter of another alphabet, and cut what is long.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["in_other_letters", "same_entry", "same_name"]

_WORDS = re.compile(r"[^\w?*\ufffd]+|_")
_JOINED = re.compile("['\u2019`\u00b4.]")
_DAMAGED = re.compile(r"[?*\ufffd]+")
_LETTERS = str.maketrans(
    {
        "ß": "ss",
        "ø": "o",
        "æ": "ae",
        "œ": "oe",
        "ł": "l",
        "đ": "d",
        "ð": "d",
        "þ": "th",
        "\u0131": "i",
    }
)
# How a letter with two dots or a ring is written without them, made one with leaving them out.
_PAIRS = (("ae", "a"), ("oe", "o"), ("ue", "u"), ("aa", "a"))


def same_entry(first: str, second: str) -> bool:
    """Whether two names are the same by the standard: blanks, empty ends and case do not count."""
    return _entry(first) == _entry(second)


def same_name(first: str, second: str) -> bool:
    """Whether two names can be spellings of one: any group of the one agrees with one of the other.

    Groups agree where all words do, in any order, or where one has words that the other lacks,
    and the words that both have agree: whole, as initial, or cut at the end.
    """
    return any(
        _agree(words, others)
        for words in map(_words, first.split("="))
        for others in map(_words, second.split("="))
    )


def in_other_letters(first: str, second: str) -> bool:
    """Whether one name is in Latin letters and the other in none: nothing compares them."""
    return {_latin(first), _latin(second)} == {"all", "none"}


def _entry(name: str) -> list[list[str]]:
    groups = [[part.strip(" \0") for part in group.split("^")] for group in name.upper().split("=")]
    for group in groups:
        while group and not group[-1]:
            group.pop()
    while groups and not groups[-1]:
        groups.pop()
    return groups


def _words(group: str) -> tuple[str, ...]:
    """Return the words of a group, without what systems write in different ways."""
    text = _repaired(group).casefold().translate(_LETTERS)
    plain = unicodedata.normalize("NFKD", text)
    plain = "".join(c for c in plain if not unicodedata.combining(c) or ord(c) > 0x036F)
    for pair, letter in _PAIRS:
        plain = plain.replace(pair, letter)
    return tuple(word for word in _WORDS.split(_JOINED.sub("", plain)) if word)


def _repaired(text: str) -> str:
    """Return text that was UTF-8 and read as Latin-1 as it was meant."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text


def _agree(first: tuple[str, ...], second: tuple[str, ...]) -> bool:
    if not first or not second:
        return False
    if _alike("".join(first), "".join(second)) or sorted(first) == sorted(second):
        return True
    few, many = sorted((first, second), key=len)
    left = list(many)
    whole = False
    # Whole words first, so that an initial does not take the word that is another's.
    for word in sorted(few, key=len, reverse=True):
        found = next((o for o in left if _alike(word, o)), None)
        whole |= found is not None and len(word) > 1
        found = found or next((o for o in left if _shortened(word, o)), None)
        if found is None:
            return False
        left.remove(found)
    return whole


def _shortened(word: str, other: str) -> bool:
    """Whether one word is the beginning of the other; a number is no initial of another."""
    return (word + other).isalpha() and (word.startswith(other) or other.startswith(word))


def _alike(word: str, other: str) -> bool:
    """Whether words are equal, apart from letters that one of them lost to a question mark."""
    if word == other:
        return True
    for damaged, sound in ((word, other), (other, word)):
        pieces = _DAMAGED.split(damaged)
        if len(pieces) > 1 and any(pieces):
            lost = r"\w{1,3}".join(re.escape(piece) for piece in pieces)
            if re.fullmatch(lost, sound):
                return True
    return False


def _latin(name: str) -> str:
    letters = [c for c in name if c.isalpha()]
    latin = sum("LATIN" in unicodedata.name(c, "") for c in letters)
    if not letters:
        return "some"
    return "none" if latin == 0 else "all" if latin == len(letters) else "some"
