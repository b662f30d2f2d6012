"""The fewest errors of beams that explain the difference of two doses, one after the other.

A cause is one thing that can go wrong: MU, place, collimator angle, width or one edge of the field,
of one beam or of all beams alike. Each is fitted to the difference by itself, as often as the first
order is not enough (Gauss-Newton, with the dose of the beam moved each time); the one that explains
most is the most likely. What it leaves is explained by the next, with the first fitted again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dosecalc.verification.beam_fit.moves import CHANGES, MovedBeam

__all__ = ["SMALL", "Cause", "Difference", "likely_causes", "settled", "solved"]

_Array = NDArray[np.float64]

_EDGES = {"X1": ("u", -0.5), "X2": ("u", 0.5), "Y1": ("v", -0.5), "Y2": ("v", 0.5)}
_SINGLE: dict[str, tuple[Mapping[str, float], ...]] = {
    "mu": ({"mu": 1.0},),
    "shift": ({"u": 1.0}, {"v": 1.0}),
    "turn": ({"turn": 1.0},),
    "width u": ({"wider_u": 1.0},),
    "width v": ({"wider_v": 1.0},),
    **{
        f"edge {edge}": ({axis: half, f"wider_{axis}": 1.0},)
        for edge, (axis, half) in _EDGES.items()
    },
}
_PLACE: tuple[Mapping[str, float], ...] = ({"x": 1.0}, {"y": 1.0}, {"z": 1.0})

SMALL = np.array([1.5, 0.15, 0.15, 0.5, 0.25, 0.25, 0.15, 0.15, 0.15])
"""Changes (see `CHANGES`) that need no cause: half of what wants a review."""

# Of the ranking by first order, so many are fitted in a few rounds, and the best until they settle.
_TRIED, _BEST, _FEW_ROUNDS = 6, 2, 2
# Another number is worth so much of the difference, another cause so much.
_PER_NUMBER, _PER_CAUSE = 0.02, 0.03
_MOST_CAUSES, _DONE = 4, 0.998
# A small share is still a cause where it is so much of what those before it leave.
_MOST_OF_REST = 0.5
# Largest step at once: %, mm, degrees; a dose changes in proportion within a penumbra.
_STEP = np.array([np.inf, 4.0, 4.0, 6.0, 4.0, 4.0, 4.0, 4.0, 4.0])
_ROUNDS, _SETTLED, _WEAK = 8, 1e-3, 1e-6
# Turns from which the fit starts, where none near zero is enough.
_STARTS_DEG = (*range(-90, 0, 15), *range(15, 91, 15), 180)
_ENOUGH = 0.8


class Cause(NamedTuple):
    """One thing that explains a part of the difference.

    Of what the calculated dose would have to change to become the reference.

    kind : {"mu", "shift", "turn", "width u", "width v", "edge X1" ..., "isocentre"}
    beam : its number, or None for all beams alike
    size : % of MU; u and v, mm; degrees from u to v (of an IEC 61217 collimator); mm of width; mm
        that the edge lies further out; x, y, z, mm
    explained : share of the sum of squares of the difference, noise left out
    """

    kind: str
    beam: int | None
    size: tuple[float, ...]
    explained: float


@dataclass(frozen=True)
class Difference:
    """Reference less calculated dose at chosen places, and the beams that are to explain it.

    beams : mapping of number to MovedBeam
    reference : (n,) Gy
    noise : sum of squares that no beam can explain, Gy2
    """

    beams: Mapping[int, MovedBeam]
    reference: _Array
    noise: float

    def at(self, some: NDArray[np.intp]) -> Difference:
        """Return the difference at some of the places."""
        share = some.size / self.reference.size
        beams = {number: beam.at(some) for number, beam in self.beams.items()}
        return Difference(beams, self.reference[some], share * self.noise)

    @property
    def at_rest(self) -> _Array:
        """Changes (beams, 9): none."""
        return np.zeros((len(self.beams), len(CHANGES)))

    def left(self, changes: _Array) -> _Array:
        """Difference (n,) that changes of the beams leave."""
        pairs = zip(self.beams.values(), changes, strict=True)
        return np.asarray(self.reference - np.sum([b.dose(c) for b, c in pairs], axis=0))

    def slopes(self, changes: _Array) -> tuple[_Array, _Array]:
        """Return the same, and the derivatives of the dose (beams, 9, n)."""
        pairs = zip(self.beams.values(), changes, strict=True)
        left, slopes = self.reference.copy(), np.empty((*changes.shape, self.reference.size))
        for n, (beam, change) in enumerate(pairs):
            left -= beam.slopes(change, slopes[n])
        return left, slopes

    def explained(self, left: float, of: float) -> float:
        """Share of a sum of squares that is explained where `left` remains of it."""
        noise = min(self.noise, left)
        return 1 - (left - noise) / (of - noise) if of > noise else 0.0


class _Guess(NamedTuple):
    """A kind of cause, and the directions (k, beams, 9) in which the changes may go."""

    kind: str
    beam: int | None
    ways: _Array


def likely_causes(difference: Difference) -> tuple[tuple[Cause, ...], _Array, _Array]:
    """Find the causes of a difference, the most likely first.

    Returns
    -------
    causes : tuple of Cause
        `explained` of each is what it adds to those before it.
    changes : (beams, 9)
        Of all causes together.
    alike : (beams, 9)
        Of those that all beams share.
    """
    guesses = _guesses(difference.beams)
    found: list[_Guess] = []
    sizes, changes = np.zeros(0), difference.at_rest
    whole = _square(difference.left(changes))
    shares: list[float] = []
    while len(found) < _MOST_CAUSES and sum(shares) < _DONE:
        best = _best_next(difference, guesses, found, sizes, whole)
        if best is None:
            break
        guess, new_sizes, left = best
        share = difference.explained(left, whole) - sum(shares)
        own = _moved(guess.ways, new_sizes[len(sizes) :])
        enough = share >= _PER_CAUSE or share > _MOST_OF_REST * (1 - sum(shares))
        if not enough or (found and not (np.abs(own) > SMALL).any()):
            break
        found.append(guess)
        shares.append(share)
        sizes = new_sizes
        changes = _together(found, sizes)
    causes, alike, first = [], difference.at_rest, 0
    for guess, share in zip(found, shares, strict=True):
        own = sizes[first : first + len(guess.ways)]
        causes.append(Cause(guess.kind, guess.beam, tuple(float(s) for s in own), share))
        if guess.beam is None:
            alike += _moved(guess.ways, own)
        first += len(guess.ways)
    return tuple(causes), changes, alike


def settled(
    difference: Difference,
    ways: _Array,
    start: _Array,
    rounds: int = _ROUNDS,
    weakest: float = _WEAK,
    base: _Array | None = None,
) -> tuple[_Array, float]:
    """Fit sizes along ways (k, beams, 9) by Gauss-Newton: sizes (k,) and the squares left.

    A step that would make it worse is halved, and given up after four times. `weakest`:
    combinations that change the dose less than this share of what the strongest does stay.
    `base`: changes (beams, 9) that the sizes are added to, for ways of all beams.
    """
    involved = np.flatnonzero(np.abs(ways).sum(axis=(0, 2)))
    numbers = [list(difference.beams)[n] for n in involved]
    rest = difference.at_rest
    others = [b.dose(rest[0]) for n, b in difference.beams.items() if n not in numbers]
    reference = difference.reference - np.sum(others, axis=0) if others else difference.reference
    part = Difference({n: difference.beams[n] for n in numbers}, reference, 0.0)
    ways = ways[:, involved]
    base = part.at_rest if base is None else base[involved]
    sizes, limits = start.copy(), _largest_steps(ways)
    left = _square(part.left(base + _moved(ways, sizes)))
    for _ in range(rounds):
        missing, slopes = part.slopes(base + _moved(ways, sizes))
        step = solved(slopes, missing, ways, weakest)
        step *= min(1.0, float((limits / np.maximum(np.abs(step), 1e-12)).min()))
        before = left
        for _ in range(4):
            trial = _square(part.left(base + _moved(ways, sizes + step)))
            if trial < left:
                sizes, left = sizes + step, trial
                break
            step = step / 2
        if left > (1 - _SETTLED) * before:
            break
    return sizes, left


def solved(slopes: _Array, missing: _Array, ways: _Array, weakest: float = _WEAK) -> _Array:
    """Fit sizes (k,) along ways (k, beams, 9) by linear least squares; see `settled`."""
    columns = ways.reshape(len(ways), -1) @ slopes.reshape(-1, missing.size)
    # Of squares: what is weaker than `weakest` in the columns is weaker than its square here.
    return np.asarray(np.linalg.lstsq(columns @ columns.T, columns @ missing, weakest**2)[0])


def _best_next(
    difference: Difference,
    guesses: Sequence[_Guess],
    found: Sequence[_Guess],
    sizes: _Array,
    whole: float,
) -> tuple[_Guess, _Array, float] | None:
    """Return the guess that explains most beside those found, all sizes, and the squares left."""
    changes = _together(found, sizes) if found else difference.at_rest
    missing, slopes = difference.slopes(changes)
    columns = slopes.reshape(-1, missing.size)
    gram, pull = columns @ columns.T, columns @ missing
    names = {(one.kind, one.beam) for one in found}
    open_ones = [one for one in guesses if (one.kind, one.beam) not in names]
    before = [way for one in found for way in one.ways]
    ranked = sorted(open_ones, key=lambda one: -_promise([*before, *one.ways], gram, pull))
    starts = [(guess, np.concatenate((sizes, np.zeros(len(guess.ways))))) for guess in ranked]
    fits = _tried(difference, before, starts[:_TRIED], whole)
    if not fits:
        return None
    if difference.explained(min(left for *_, left in fits), whole) < _ENOUGH:
        turned = _far_turn(difference, open_ones, changes)
        if turned is not None:
            start = [(turned[0], np.concatenate((sizes, [turned[1]])))]
            fits += _tried(difference, before, start, whole)
    return max(fits, key=lambda fit: _worth(difference, fit, whole))


_Fit = tuple[_Guess, _Array, float]


def _worth(difference: Difference, fit: _Fit, whole: float) -> float:
    return difference.explained(fit[2], whole) - _PER_NUMBER * len(fit[0].ways)


def _tried(
    difference: Difference,
    before: Sequence[_Array],
    starts: Sequence[tuple[_Guess, _Array]],
    whole: float,
) -> list[_Fit]:
    """Fit each guess in a few rounds, and the best of them until they settle."""
    quick = []
    for guess, start in starts:
        ways = np.stack([*before, *guess.ways])
        quick.append((guess, *settled(difference, ways, start, _FEW_ROUNDS)))
    quick.sort(key=lambda fit: -_worth(difference, fit, whole))
    fits = []
    for guess, sizes, _ in quick[:_BEST]:
        ways = np.stack([*before, *guess.ways])
        fits.append((guess, *settled(difference, ways, sizes)))
    return fits


def _far_turn(
    difference: Difference, guesses: Sequence[_Guess], changes: _Array
) -> tuple[_Guess, float] | None:
    """Find the beam that would explain most if it were turned far, and the degrees."""
    missing = difference.left(changes)
    best: tuple[float, _Guess, float] | None = None
    for guess in guesses:
        if guess.kind != "turn" or guess.beam is None:
            continue
        n = list(difference.beams).index(guess.beam)
        beam = difference.beams[guess.beam]
        here = beam.dose(changes[n])
        for degrees in _STARTS_DEG:
            turned = changes[n] + degrees * guess.ways[0, n]
            left = _square(missing + here - beam.dose(turned))
            if best is None or left < best[0]:
                best = (left, guess, float(degrees))
    return None if best is None else best[1:]


def _guesses(beams: Mapping[int, MovedBeam]) -> list[_Guess]:
    """List all that may be wrong with one beam, and with all of them alike."""
    guesses, count = [], len(beams)
    for n, (number, beam) in enumerate(beams.items()):
        kinds = dict(_SINGLE) if beam.has_axes else {"mu": _SINGLE["mu"]}
        if len(beam.fields) > 1:
            kinds["isocentre"] = _PLACE
        for kind, ways in kinds.items():
            guesses.append(_Guess(kind, number, np.stack([_way(w, [n], count) for w in ways])))
    if count < 2:
        return guesses
    whole = list(range(count))
    every = {kind: ways for kind, ways in _SINGLE.items() if kind != "shift"} | {
        "isocentre": _PLACE
    }
    if not all(beam.has_axes for beam in beams.values()):
        every = {"mu": _SINGLE["mu"]}
    for kind, ways in every.items():
        guesses.append(_Guess(kind, None, np.stack([_way(w, whole, count) for w in ways])))
    return guesses


def _way(change: Mapping[str, float], beams: Sequence[int], count: int) -> _Array:
    way = np.zeros((count, len(CHANGES)))
    for name, share in change.items():
        way[list(beams), CHANGES.index(name)] = share
    return way


def _promise(ways: Sequence[_Array], gram: _Array, pull: _Array) -> float:
    """Squares that a fit along the ways takes away, to first order."""
    flat = np.stack([way.ravel() for way in ways])
    inner, along = flat @ gram @ flat.T, flat @ pull
    return float(along @ np.linalg.lstsq(inner, along, rcond=1e-9)[0])


def _together(found: Sequence[_Guess], sizes: _Array) -> _Array:
    return _moved(np.concatenate([one.ways for one in found]), sizes)


def _moved(ways: _Array, sizes: _Array) -> _Array:
    return np.asarray(np.tensordot(sizes, ways, axes=1))


def _largest_steps(ways: _Array) -> _Array:
    most = np.abs(ways).max(axis=1)
    with np.errstate(divide="ignore"):
        return np.asarray((_STEP / most).min(axis=1))


def _square(values: _Array) -> float:
    return float(values @ values)
