"""Energies and angles after single interactions of photons and electrons.

Each function takes a stream of random numbers and returns energies in MeV and cosines
to the direction of the particle that came. docs/physics-monte-carlo.md has the formulas.
"""

from __future__ import annotations

import numpy as np

from dosecalc.core._jit import jit, jit_inline
from dosecalc.core.transport.random import uniform

__all__ = [
    "annihilation",
    "azimuth",
    "bhabha",
    "bremsstrahlung",
    "bremsstrahlung_shape",
    "compton",
    "moller",
    "pair",
    "pair_cosine",
    "photoelectron_cosine",
    "rayleigh_cosine",
    "turn",
]

MASS = 0.51099895

# Below this photon energy the two particles of a pair share their kinetic energy evenly.
_EVEN_PAIR = 2.1


@jit_inline
def azimuth(stream):
    """Cosine and sine of an even angle: twice that of an even point in a half disc."""
    while True:
        a, b = 2.0 * uniform(stream) - 1.0, uniform(stream)
        square = a * a + b * b
        if 1e-12 < square < 1.0:
            return (a * a - b * b) / square, 2.0 * a * b / square


@jit_inline
def turn(u, v, w, cosine, around):
    """Direction at an angle from another, turned about it by `around`, a cosine and a sine."""
    sine = np.sqrt(max(0.0, 1.0 - cosine * cosine))
    a, b = sine * around[0], sine * around[1]
    across = u * u + v * v
    if across < 1e-12:
        side = 1.0 if w > 0 else -1.0
        return a, b * side, cosine * side
    root = np.sqrt(across)
    x = u * cosine + (a * u * w - b * v) / root
    y = v * cosine + (a * v * w + b * u) / root
    z = w * cosine - a * root
    # Rounding would add up over thousands of turns; so near 1 this is 1 / sqrt.
    norm = 1.5 - 0.5 * (x * x + y * y + z * z)
    return x * norm, y * norm, z * norm


@jit
def compton(stream, energy, binding):
    """Energy of the scattered photon and cosines of photon and electron, after Klein and Nishina.

    By composition of 1/e and e and rejection (Butcher and Messel, Nucl Phys 20:15 (1960)),
    e the ratio of the energies. Electrons are bound: the angles are kept with the
    probability 1 - 1 / (1 + binding u)^4, u = (1 - cosine) / 2, which is hydrogen's.
    """
    k = energy / MASS
    least = 1.0 / (1.0 + 2.0 * k)
    a1, a2 = -np.log(least), 0.5 * (1.0 - least * least)
    while True:
        if uniform(stream) * (a1 + a2) < a1:
            ratio = np.exp(-a1 * uniform(stream))
        else:
            ratio = np.sqrt(least * least + (1.0 - least * least) * uniform(stream))
        lost = (1.0 - ratio) / (k * ratio)  # 1 - cosine
        square = lost * (2.0 - lost)
        free = 1.0 / (1.0 + 0.5 * binding * lost) ** 4
        if uniform(stream) < (1.0 - ratio * square / (1.0 + ratio * ratio)) * (1.0 - free):
            break
    cosine = 1.0 - lost
    kinetic = energy * (1.0 - ratio)
    momentum = np.sqrt(kinetic * (kinetic + 2.0 * MASS))
    along = energy * (1.0 - ratio * cosine)
    return energy * ratio, cosine, min(1.0, along / momentum) if momentum > 0 else 1.0


@jit
def rayleigh_cosine(stream, form):
    """Cosine of a photon scattered coherently: Thomson's times the square of a form factor.

    The form factor is that of a charge that falls exponentially, 1 / (1 + form u)^2 with
    u = (1 - cosine) / 2, and is scaled so that the cross section is right.
    """
    end = 1.0 - (1.0 + form) ** -3
    while True:
        u = ((1.0 - uniform(stream) * end) ** (-1.0 / 3.0) - 1.0) / form
        cosine = 1.0 - 2.0 * u
        if 2.0 * uniform(stream) < 1.0 + cosine * cosine:
            return cosine


@jit
def pair(stream, energy):
    """Kinetic energies of the two particles of a pair.

    The high-energy form of Bethe and Heitler without screening (Motz, Olsen and Koch, Rev
    Mod Phys 41:581 (1969), 3D-1000), even below 2.1 MeV, where the share matters little.
    """
    kinetic = energy - 2.0 * MASS
    share = uniform(stream)
    if energy > _EVEN_PAIR:
        largest = np.log(0.5 * energy / MASS) - 0.5
        while True:
            part = MASS / energy + share * kinetic / energy
            product = part * (1.0 - part)
            logarithm = np.log(2.0 * energy * product / MASS) - 0.5
            if uniform(stream) * largest < logarithm * (1.0 - 4.0 / 3.0 * product):
                break
            share = uniform(stream)
    return share * kinetic, (1.0 - share) * kinetic


@jit
def pair_cosine(stream, kinetic):
    """Cosine of an electron of a pair: probability as 1 / (1 - beta cosine)^2 per solid angle."""
    total = kinetic + MASS
    beta = np.sqrt(kinetic * (kinetic + 2.0 * MASS)) / total
    even = 2.0 * uniform(stream) - 1.0
    return (even + beta) / (1.0 + even * beta)


@jit
def photoelectron_cosine(stream, kinetic):
    """Cosine of a photoelectron after Sauter (Ann Phys 11:454 (1931)), leading term."""
    total = kinetic + MASS
    beta = np.sqrt(kinetic * (kinetic + 2.0 * MASS)) / total
    while True:
        cosine = pair_cosine(stream, kinetic)
        share = (1.0 - cosine * cosine) * (1.0 - beta * beta) / (1.0 - beta * cosine) ** 2
        if uniform(stream) < share:
            return cosine


@jit
def moller(stream, kinetic, cutoff):
    """Kinetic energy of a knock-on electron, and cosines of the two electrons.

    Moller, Ann Phys 14:531 (1932), from `cutoff` to half the kinetic energy.
    """
    tau = kinetic / MASS
    low = cutoff / kinetic
    a, b = (tau / (tau + 1.0)) ** 2, (2.0 * tau + 1.0) / (tau + 1.0) ** 2
    while True:
        share = low / (1.0 - uniform(stream) * (1.0 - 2.0 * low))
        odds = share / (1.0 - share)
        # The bracket over 1/share^2 is at most 9/4, at equal shares and high energy.
        if uniform(stream) * 2.25 < 1.0 + odds * odds + a * share * share - b * odds:
            break
    freed, kept = share * kinetic, (1.0 - share) * kinetic
    ratio = (kinetic + 2.0 * MASS) / kinetic
    return (
        freed,
        np.sqrt(min(1.0, freed * ratio / (freed + 2.0 * MASS))),
        np.sqrt(min(1.0, kept * ratio / (kept + 2.0 * MASS))),
    )


@jit
def bhabha(stream, kinetic, cutoff):
    """Kinetic energy of an electron that a positron sets free, and cosines of both.

    Bhabha, Proc R Soc A 154:195 (1936), from `cutoff` to the whole kinetic energy.
    """
    b1, b2, b3, b4, beta2 = _bhabha_terms(kinetic)
    low = cutoff / kinetic
    while True:
        share = low / (1.0 - uniform(stream) * (1.0 - low))
        bracket = 1.0 - beta2 * share * (b1 - share * (b2 - share * (b3 - share * b4)))
        if uniform(stream) < bracket:
            break
    freed, kept = share * kinetic, (1.0 - share) * kinetic
    ratio = (kinetic + 2.0 * MASS) / kinetic
    return (
        freed,
        np.sqrt(min(1.0, freed * ratio / (freed + 2.0 * MASS))),
        np.sqrt(min(1.0, kept * ratio / (kept + 2.0 * MASS))),
    )


@jit
def _bhabha_terms(kinetic):
    y = 1.0 / (kinetic / MASS + 2.0)
    factor = 1.0 - 2.0 * y
    b4 = factor**3
    gamma = kinetic / MASS + 1.0
    return 2.0 - y * y, factor * (3.0 + y * y), b4 + factor**2, b4, 1.0 - 1.0 / gamma**2


@jit
def annihilation(stream, kinetic):
    """Energies and cosines of the two photons of a positron that annihilates in flight.

    Heitler, The Quantum Theory of Radiation (1954), electrons at rest: the share z of one
    photon goes as -(g + 1)^2 + (g^2 + 4 g + 1) / z - 1 / z^2, g the total energy of the positron
    in units of m.
    """
    gamma = kinetic / MASS + 1.0
    root = np.sqrt(gamma * gamma - 1.0)
    least = 1.0 / (gamma + 1.0 + root)
    middle = gamma * gamma + 4.0 * gamma + 1.0
    # z times the distribution is largest where z^2 (g + 1)^2 = 1.
    largest = middle - 2.0 * (gamma + 1.0)
    while True:
        share = least * ((1.0 - least) / least) ** uniform(stream)
        value = middle - (gamma + 1.0) ** 2 * share - 1.0 / share
        if uniform(stream) * largest < value:
            break
    total = kinetic + 2.0 * MASS
    cosine = (gamma + 1.0 - 1.0 / share) / root
    other = (gamma + 1.0 - 1.0 / (1.0 - share)) / root
    return (
        share * total,
        min(1.0, max(-1.0, cosine)),
        (1.0 - share) * total,
        min(1.0, max(-1.0, other)),
    )


@jit
def bremsstrahlung_shape(kinetic, photon, screening):
    """Photon energy times cross section per photon energy, in arbitrary units.

    The Born approximation for high energies (Koch and Motz, Rev Mod Phys 31:920 (1959), 3BS), its
    logarithm limited where the nucleus is screened.
    """
    total = kinetic + MASS
    ratio = (total - photon) / total
    argument = 2.0 * total * (total - photon) / (MASS * photon)
    argument = argument * screening / (argument + screening)
    return (1.0 + ratio * ratio - 2.0 / 3.0 * ratio) * max(np.log(argument) - 0.5, 0.05)


@jit
def bremsstrahlung(stream, kinetic, cutoff, screening):
    """Energy of a photon of more than `cutoff`, and its cosine (about mass over energy)."""
    largest = bremsstrahlung_shape(kinetic, cutoff, screening)
    while True:
        photon = cutoff * (kinetic / cutoff) ** uniform(stream)
        if uniform(stream) * largest < bremsstrahlung_shape(kinetic, photon, screening):
            return photon, pair_cosine(stream, kinetic)
