"""Whether two Person Names are the same name, as different systems write it.

A Person Name has up to three groups, of letters, ideographs and sounds, parted by ``=``; a group
has five components, family name first, parted by ``^`` (DICOM PS3.5, 6.2.1). Systems keep some of
the groups, leave out middle names and titles, write a comma for the caret, capitals for small
letters, oe for a letter of another alphabet, and cut what is long.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["in_other_letters", "same_entry", "same_in_part", "same_name"]

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
# Long vowels of Japanese, as Latin letters write them besides leaving the bar out.
_LONG = (str.maketrans({"\u014d": "ou", "\u016b": "uu"}), str.maketrans({"\u014d": "oh"}))
# One sound has a letter in each of two syllabaries, at the same place of each.
_KANA = {code: code - 0x60 for code in range(0x30A1, 0x30F7)}
# Which of several of one name; "ii" is no shorter "iii".
_GENERATIONS = {"jr", "sr", "ii", "iii", "iv", "vi", "vii", "viii", "ix"}
_GENERATION_WORDS = {"junior": "jr", "senior": "sr"}
# No system cuts names to fewer letters; a shorter beginning may be another name (Paul, Paula).
_CUT_LETTERS = 14
# More lost letters leave too little to compare, and would take long to try.
_MOST_LOST = 8
# Three groups of five components of 64 letters are the most that a name has; longer ones are text.
_LONGEST = 1000


def same_entry(first: str, second: str) -> bool:
    """Whether two names are the same by the standard: blanks, empty ends and case do not count."""
    return _entry(first) == _entry(second)


def same_name(first: str, second: str) -> bool:
    """Whether two names can be spellings of one: a group of the one agrees with one of the other.

    Groups agree where all words do, in any order, or where one has words that the other lacks,
    and the words that both have agree: whole, as initial, or cut at the end of a long name.
    Groups of the same kind that are another name in the same letters contradict that.
    """
    if max(len(first), len(second)) > _LONGEST:
        return False
    groups, others = first.split("="), second.split("=")
    contradicted = any(
        _words(one)
        and _words(other)
        and not in_other_letters(one, other)
        and not _groups_agree(one, other)
        for one, other in zip(groups, others, strict=False)
    )
    return not contradicted and any(_groups_agree(a, b) for a in groups for b in others)


def same_in_part(first: str, second: str) -> bool:
    """Whether one group of the names agrees, if beginnings of words count as well."""
    if max(len(first), len(second)) > _LONGEST:
        return False
    return any(
        _groups_agree(a, b, cut_letters=2) for a in first.split("=") for b in second.split("=")
    )


def _groups_agree(first: str, second: str, cut_letters: int = _CUT_LETTERS) -> bool:
    return _lost_letters(first, second) or any(
        _agree(words, others, cut_letters)
        for words in _spellings(first)
        for others in _spellings(second)
    )


def _spellings(group: str) -> list[tuple[str, ...]]:
    composed = unicodedata.normalize("NFC", group).casefold()
    texts = [group, *(composed.translate(table) for table in _LONG)]
    return list(dict.fromkeys(_words(text) for text in texts))


def _lost_letters(first: str, second: str) -> bool:
    """Whether one group lacks the letters beyond ASCII of the other, or has marks for them."""
    one, other = (
        re.sub(r"[\^, ]+", " ", unicodedata.normalize("NFC", group)).strip().casefold()
        for group in (first, second)
    )
    for damaged, sound in ((one, other), (other, one)):
        lost = sum(not c.isascii() for c in sound)
        # Most letters must be there to compare.
        if damaged.isascii() and 0 < lost <= _MOST_LOST and len(sound) >= 4 * lost:
            parts = (re.escape(c) if c.isascii() else r"[^a-z ]{0,8}" for c in sound)
            if re.fullmatch("".join(parts), damaged):
                return True
    return False


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
    plain = unicodedata.normalize("NFKD", text).translate(_KANA)
    plain = "".join(c for c in plain if not unicodedata.combining(c) or ord(c) > 0x036F)
    for pair, letter in _PAIRS:
        plain = plain.replace(pair, letter)
    words = (word for word in _WORDS.split(_JOINED.sub("", plain)) if word)
    return tuple(_GENERATION_WORDS.get(word, word) for word in words)


def _repaired(text: str) -> str:
    """Return text that was UTF-8 and read as Latin-1 or as Windows does, as it was meant."""
    for wrong in ("latin-1", "cp1252"):
        try:
            return text.encode(wrong).decode("utf-8")
        except UnicodeError:
            continue
    return text


def _agree(first: tuple[str, ...], second: tuple[str, ...], cut_letters: int) -> bool:
    if not first or not second:
        return False
    if _alike("".join(first), "".join(second)) or sorted(first) == sorted(second):
        return True
    few, many = sorted((first, second), key=len)
    left = list(many)
    whole = False
    may_be_cut = len("".join(few)) >= cut_letters
    # Whole words first, so that an initial does not take the word that is another's.
    for word in sorted(few, key=len, reverse=True):
        found = next((o for o in left if _alike(word, o)), None)
        whole |= found is not None and len(word) > 1
        found = found or next((o for o in left if _shortened(word, o, may_be_cut)), None)
        if found is None:
            return False
        left.remove(found)
    return whole


def _shortened(word: str, other: str, may_be_cut: bool) -> bool:
    """Whether one word is the initial of the other, or its beginning where names may be cut.

    A number is no initial of another, and a generation is none either.
    """
    short, long = sorted((word, other), key=len)
    if not (word + other).isalpha() or {word, other} & _GENERATIONS:
        return False
    return (len(short) == 1 or may_be_cut) and long.startswith(short)


def _alike(word: str, other: str) -> bool:
    """Whether words are equal, apart from letters that one of them lost to a question mark."""
    if word == other:
        return True
    for damaged, sound in ((word, other), (other, word)):
        pieces = _DAMAGED.split(damaged)
        if 1 < len(pieces) <= _MOST_LOST + 1 and any(pieces):
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
