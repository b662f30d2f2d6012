"""Samplers of single interactions against integrals of the cross sections they stand for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from dosecalc.core._jit import jit
from dosecalc.core.transport.random import STREAM_WORDS, restart, uniform
from dosecalc.core.transport.sampling import (
    MASS,
    annihilation,
    azimuth,
    bhabha,
    bremsstrahlung,
    compton,
    moller,
    pair,
    pair_cosine,
    photoelectron_cosine,
    rayleigh_cosine,
    turn,
)
from dosecalc.data.cross_sections import partial_coefficients, thomson_cross_section
from dosecalc.data.electron_transport import bhabha_cross_section
from dosecalc.data.materials import load_material
from dosecalc.engines.monte_carlo.tables import photon_tables

Array = NDArray[np.float64]
COUNT = 50_000
SIGMAS = 4.0
FREE = 1e30


@jit
def many_compton(stream, energy, binding, result):
    for index in range(len(result)):
        result[index] = compton(stream, energy, binding)


@jit
def many_pairs(stream, energy, result):
    for index in range(len(result)):
        result[index] = pair(stream, energy)


@jit
def many_moller(stream, kinetic, cutoff, result):
    for index in range(len(result)):
        result[index] = moller(stream, kinetic, cutoff)


@jit
def many_bhabha(stream, kinetic, cutoff, result):
    for index in range(len(result)):
        result[index] = bhabha(stream, kinetic, cutoff)


@jit
def many_annihilations(stream, kinetic, result):
    for index in range(len(result)):
        result[index] = annihilation(stream, kinetic)


@jit
def many_rayleigh(stream, form, result):
    for index in range(len(result)):
        result[index, 0] = rayleigh_cosine(stream, form)


@jit
def many_bremsstrahlung(stream, kinetic, cutoff, screening, result):
    for index in range(len(result)):
        result[index] = bremsstrahlung(stream, kinetic, cutoff, screening)


@jit
def many_pair_cosines(stream, kinetic, result):
    for index in range(len(result)):
        result[index, 0] = pair_cosine(stream, kinetic)


@jit
def many_photoelectrons(stream, kinetic, result):
    for index in range(len(result)):
        result[index, 0] = photoelectron_cosine(stream, kinetic)


@jit
def many_azimuths(stream, result):
    for index in range(len(result)):
        result[index] = azimuth(stream)


@jit
def many_turns(stream, directions, cosines, result):
    for index in range(len(result)):
        u, v, w = directions[index]
        result[index] = turn(u, v, w, cosines[index], azimuth(stream))


@jit
def wander(stream, turns):
    u, v, w = 0.0, 0.0, 1.0
    for _ in range(turns):
        u, v, w = turn(u, v, w, 2.0 * uniform(stream) - 1.0, azimuth(stream))
    return u, v, w


def new_stream() -> NDArray[np.uint64]:
    stream = np.zeros(STREAM_WORDS, np.uint64)
    restart(stream, np.uint64(20), np.uint64(26))
    return stream


def sample(many: Callable[..., None], *values: float, columns: int = 1) -> Array:
    result = np.empty((COUNT, columns))
    many(new_stream(), *values, result)
    return result.T


def assert_mean(found: Array, expected: float) -> None:
    """Mean of a sample within 4 standard deviations: one test in 16 000 fails by chance."""
    assert found.mean() == pytest.approx(expected, abs=SIGMAS * found.std() / np.sqrt(found.size))


def momentum(kinetic: Array | float) -> Array:
    return np.sqrt(np.asarray(kinetic) * (np.asarray(kinetic) + 2 * MASS))


@pytest.mark.parametrize("binding", [10.0, FREE], ids=["bound", "free"])
@pytest.mark.parametrize("energy", [0.05, 0.5, 2.0, 10.0])
def test_compton_moments(energy: float, binding: float) -> None:
    """Of energy and angle, against Klein and Nishina's cross section per solid angle."""
    scattered, cosine, _ = sample(many_compton, energy, binding, columns=3)
    # Evenly in ln of 1 - cosine + 1/k, in which high energies are smooth.
    shift = MASS / energy
    lost = np.exp(np.linspace(np.log(shift), np.log(2 + shift), 20_001)) - shift
    ratio = 1 / (1 + energy / MASS * lost)
    weight = ratio**2 * (ratio + 1 / ratio - lost * (2 - lost)) * (lost + shift)
    weight *= 1 - (1 + binding * lost / 2) ** -4
    weight /= weight.sum() - 0.5 * (weight[0] + weight[-1])
    weight[[0, -1]] *= 0.5
    for power in (1, 2, 3):
        assert_mean((scattered / energy) ** power, float(weight @ ratio**power))
        assert_mean(cosine**power, float(weight @ (1 - lost) ** power))
    assert_mean(scattered * cosine, float(weight @ (energy * ratio * (1 - lost))))


@pytest.mark.parametrize("energy", [0.05, 0.5, 2.0, 10.0])
def test_compton_conserves_energy_and_momentum(energy: float) -> None:
    scattered, cosine, electron_cosine = sample(many_compton, energy, FREE, columns=3)
    electron = momentum(energy - scattered)
    # Of the smallest transfers, the electron's momentum is a difference that loses digits.
    limit = 1e-7 * energy
    np.testing.assert_allclose(
        scattered * cosine + electron * electron_cosine, energy, rtol=0, atol=limit
    )
    across = scattered * np.sqrt(1 - cosine**2) - electron * np.sqrt(1 - electron_cosine**2)
    clear = energy - scattered > 1e-3 * energy
    np.testing.assert_allclose(across[clear], 0, atol=limit)


@pytest.mark.parametrize("energy", [1.03, 2.0, 2.2, 6.0, 20.0])
def test_pairs_share_what_is_left_of_the_energy_evenly_on_average(energy: float) -> None:
    first, second = sample(many_pairs, energy, columns=2)
    kinetic = energy - 2 * MASS
    np.testing.assert_allclose(first + second, kinetic, rtol=1e-12)
    assert min(first.min(), second.min()) >= 0
    assert_mean(first, kinetic / 2)
    assert_mean((first - kinetic / 2) ** 3, 0.0)


@pytest.mark.parametrize("energy", [2.2, 6.0, 20.0])
def test_pair_energies_follow_bethe_and_heitler(energy: float) -> None:
    first, _ = sample(many_pairs, energy, columns=2)
    share = (np.arange(20_000) + 0.5) / 20_000
    plus = (MASS + share * (energy - 2 * MASS)) / energy
    minus = 1 - plus
    # Motz, Olsen and Koch, 3D-1000; where the logarithm is below 1/2 there is nothing.
    weight = (plus**2 + minus**2 + 2 / 3 * plus * minus) * np.maximum(
        np.log(2 * energy * plus * minus / MASS) - 0.5, 0
    )
    spread = weight @ (share - 0.5) ** 2 / weight.sum()
    assert_mean((first / (energy - 2 * MASS) - 0.5) ** 2, float(spread))


@pytest.mark.parametrize("kinetic", [0.1, 1.0, 10.0])
def test_pair_angles(kinetic: float) -> None:
    (cosine,) = sample(many_pair_cosines, kinetic)
    beta = float(momentum(kinetic) / (kinetic + MASS))
    # Of (1 - beta^2) / (2 (1 - beta c)^2), the mean of c is elementary.
    logarithm = np.log((1 + beta) / (1 - beta))
    assert_mean(cosine, float(1 / beta - (1 - beta**2) / (2 * beta**2) * logarithm))


@pytest.mark.parametrize("kinetic", [0.02, 0.2, 1.0])
def test_photoelectron_angles(kinetic: float) -> None:
    """Sauter's leading term, sin^2 / (1 - beta cos)^4 per solid angle."""
    (cosine,) = sample(many_photoelectrons, kinetic)
    beta = float(momentum(kinetic) / (kinetic + MASS))
    nodes = (np.arange(200_000) + 0.5) / 100_000 - 1
    weight = (1 - nodes**2) / (1 - beta * nodes) ** 4
    for power in (1, 2, 3):
        assert_mean(cosine**power, float(weight @ nodes**power / weight.sum()))


@pytest.mark.parametrize("kinetic", [0.4, 1.0, 6.0, 20.0])
def test_moller_moments_and_kinematics(kinetic: float) -> None:
    cutoff = 0.189
    freed, cosine, own = sample(many_moller, kinetic, cutoff, columns=3)
    assert cutoff <= freed.min()
    assert freed.max() <= kinetic / 2
    tau, share = kinetic / MASS, np.geomspace(cutoff / kinetic, 0.5, 40_001)
    share = np.sqrt(share[1:] * share[:-1])  # evenly in ln, so the weight is times the share
    bracket = 1 / share**2 + 1 / (1 - share) ** 2 + (tau / (tau + 1)) ** 2
    weight = share * (bracket - (2 * tau + 1) / (tau + 1) ** 2 / (share * (1 - share)))
    for power in (1, 2, 3):
        assert_mean((freed / kinetic) ** power, float(weight @ share**power / weight.sum()))
    along = momentum(freed) * cosine + momentum(kinetic - freed) * own
    np.testing.assert_allclose(along, momentum(kinetic), rtol=1e-12)
    across = momentum(freed) ** 2 * (1 - cosine**2)
    other = momentum(kinetic - freed) ** 2 * (1 - own**2)
    np.testing.assert_allclose(across, other, atol=1e-10 * momentum(kinetic) ** 2)


@pytest.mark.parametrize("kinetic", [0.2, 1.0, 6.0, 20.0])
def test_bhabha_moments_and_kinematics(kinetic: float) -> None:
    """Against the differences of the cross section above a cut-off, which is closed."""
    cutoff = 0.189
    freed, cosine, own = sample(many_bhabha, kinetic, cutoff, columns=3)
    assert cutoff <= freed.min()
    assert freed.max() <= kinetic
    edges = np.geomspace(cutoff, kinetic, 20_001)
    water = load_material("water")
    above = np.array([bhabha_cross_section(water, np.array([kinetic]), e)[0] for e in edges])
    weight, nodes = above[:-1] - above[1:], np.sqrt(edges[1:] * edges[:-1])
    for power in (1, 2, 3):
        mean = float(weight @ (nodes / kinetic) ** power / weight.sum())
        assert_mean((freed / kinetic) ** power, mean)
    along = momentum(freed) * cosine + momentum(kinetic - freed) * own
    np.testing.assert_allclose(along, momentum(kinetic), rtol=1e-12)


@pytest.mark.parametrize("kinetic", [0.05, 0.5, 2.0, 10.0])
def test_annihilation_in_flight(kinetic: float) -> None:
    """Energy and momentum are those of the positron; shares follow Heitler's distribution."""
    first, cosine, second, other = sample(many_annihilations, kinetic, columns=4)
    np.testing.assert_allclose(first + second, kinetic + 2 * MASS, rtol=1e-12)
    np.testing.assert_allclose(first * cosine + second * other, momentum(kinetic), rtol=1e-9)
    across = first * np.sqrt(1 - cosine**2) - second * np.sqrt(1 - other**2)
    np.testing.assert_allclose(across, 0, atol=1e-6 * (kinetic + MASS))
    gamma = kinetic / MASS + 1
    least = 1 / (gamma + 1 + np.sqrt(gamma**2 - 1))
    edges = np.geomspace(least, 1 - least, 40_001)
    share = np.sqrt(edges[1:] * edges[:-1])
    middle = gamma**2 + 4 * gamma + 1
    weight = (-((gamma + 1) ** 2) + middle / share - 1 / share**2) * np.diff(edges)
    assert weight.min() > 0
    for power in (1, 2, 3):
        mean = float(weight @ share**power / weight.sum())
        assert_mean((first / (kinetic + 2 * MASS)) ** power, mean)


@pytest.mark.parametrize("form", [1e-3, 2.5, 130.0, 1e6])
def test_rayleigh_angles(form: float) -> None:
    """Thomson's distribution times the square of the form factor."""
    (cosine,) = sample(many_rayleigh, form)
    edges = np.expm1(np.linspace(0, np.log1p(form), 40_001)) / form
    u = (edges[1:] + edges[:-1]) / 2
    weight = (1 + form * u) ** -4 * (1 + (1 - 2 * u) ** 2) * np.diff(edges)
    for power in (1, 2):
        assert_mean(((1 - cosine) / 2) ** power, float(weight @ u**power / weight.sum()))


@pytest.mark.parametrize("name", ["water", "cortical_bone"])
def test_form_factor_gives_the_coherent_cross_section(name: str) -> None:
    """Integrated over all angles, at energies from 10 keV to 10 MeV, to 0.5 %: the table's grid."""
    material, tables = load_material(name), photon_tables((name,))
    for energy in (0.01, 0.06, 0.5, 10.0):
        at = (np.log(energy) - tables.first) * tables.per_step
        form = float(np.interp(at, np.arange(tables.form.shape[1]), tables.form[0]))
        edges = np.expm1(np.linspace(0, np.log1p(form), 40_001)) / form
        u = (edges[1:] + edges[:-1]) / 2
        integral = (1 + form * u) ** -4 @ ((1 + (1 - 2 * u) ** 2) * np.diff(edges)) * 3 / 4
        expected = partial_coefficients(material, np.array([energy]))["rayleigh"][0]
        assert thomson_cross_section(material, in_phase=True) * integral == pytest.approx(
            expected, rel=0.005
        )


def koch_and_motz(kinetic: float, photon: Array, screening: float) -> Array:
    """Photon energy times bremsstrahlung cross section, in 4 Z^2 r_e^2 alpha.

    Formula 3BS of Koch and Motz, Rev. Mod. Phys. 31 (1959) 920, in units of m c^2: unscreened
    2 E0 E / k, fully screened `screening`, and their harmonic sum between.
    """
    before = kinetic / MASS + 1
    k = photon / MASS
    after = before - k
    momentum = 1 / (k / (2 * before * after) + 1 / screening)
    factor = 1 + (after / before) ** 2 - 2 * after / (3 * before)
    return np.asarray(factor * np.maximum(np.log(momentum) - 0.5, 0.05))


@pytest.mark.parametrize("kinetic", [0.2, 1.0, 6.0, 20.0])
def test_bremsstrahlung_moments(kinetic: float) -> None:
    cutoff, screening = 0.01, 150.0
    photon, cosine = sample(many_bremsstrahlung, kinetic, cutoff, screening, columns=2)
    assert cutoff <= photon.min()
    assert photon.max() <= kinetic
    edges = np.geomspace(cutoff, kinetic, 4_001)
    nodes = np.sqrt(edges[1:] * edges[:-1])
    # The cross section times energy: per unit of ln E it is the weight itself.
    weight = koch_and_motz(kinetic, nodes, screening)
    # What the rejection needs: nowhere above its value at the cutoff.
    assert weight.max() <= koch_and_motz(kinetic, np.array([cutoff]), screening)[0]
    weight /= weight.sum()
    for power in (1, 2):
        assert_mean((photon / kinetic) ** power, float(weight @ (nodes / kinetic) ** power))
    assert_mean(np.log(photon), float(weight @ np.log(nodes)))
    # Photons keep to the mass over the total energy of the electron, as an angle.
    assert 0.3 < np.median(np.arccos(cosine)) * (kinetic + MASS) / MASS < 1.5


def test_azimuths_are_even() -> None:
    c, s = sample(many_azimuths, columns=2)
    np.testing.assert_allclose(np.hypot(c, s), 1, rtol=1e-12)
    angle = np.arctan2(s, c)
    for order in (1, 2, 3, 4):
        assert_mean(np.cos(order * angle), 0.0)
        assert_mean(np.sin(order * angle), 0.0)


def test_turning_keeps_the_norm_and_makes_the_angle() -> None:
    generator = np.random.default_rng(5)
    directions = generator.normal(size=(COUNT, 3))
    # Every eighth is close to the poles, or on one.
    directions[::8, :2] *= 1e-6
    directions[::16, :2] = 0
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    cosines = generator.uniform(-1, 1, COUNT)
    cosines[:4] = (-1, 1, 1 - 1e-12, 0)
    result = np.empty((COUNT, 3))
    many_turns(new_stream(), directions, cosines, result)
    np.testing.assert_allclose(np.linalg.norm(result, axis=1), 1, rtol=1e-12)
    # What is within 1e-6 of a pole is turned as if it were on it.
    np.testing.assert_allclose((result * directions).sum(axis=1), cosines, atol=2e-6)
    clear = np.hypot(directions[:, 0], directions[:, 1]) > 1e-4
    dots = (result * directions).sum(axis=1)
    np.testing.assert_allclose(dots[clear], cosines[clear], atol=1e-10)


@pytest.mark.parametrize("direction", [(0, 0, 1), (0, 0, -1), (0.6, 0, 0.8), (0.48, -0.6, -0.64)])
def test_turning_goes_evenly_around(direction: tuple[float, float, float]) -> None:
    directions = np.tile(np.array(direction, float), (COUNT, 1))
    result = np.empty((COUNT, 3))
    many_turns(new_stream(), directions, np.full(COUNT, 0.5), result)
    across = result - 0.5 * directions
    side = np.cross(direction, (0.28, 0.96, 0.0))
    side /= np.linalg.norm(side)
    angle = np.arctan2(across @ np.cross(direction, side), across @ side)
    for order in (1, 2, 3, 4):
        assert_mean(np.cos(order * angle), 0.0)
        assert_mean(np.sin(order * angle), 0.0)


def test_a_million_turns_leave_a_unit_vector() -> None:
    assert np.linalg.norm(wander(new_stream(), 1_000_000)) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("name", ["water", "cortical_bone", "aluminium"])
def test_binding_takes_its_share_of_the_incoherent_cross_section(name: str) -> None:
    """XCOM's over Klein and Nishina's from 30 keV to 0.2 MeV, to 4 %: hydrogen's form for all."""
    material, binding = load_material(name), photon_tables((name,)).binding[0]
    free_electrons = thomson_cross_section(material, in_phase=False)
    u = np.geomspace(1e-8, 1, 20_001)
    for energy in (0.03, 0.1, 0.2):
        ratio = 1 / (1 + 2 * energy / MASS * u)
        free = ratio**2 * (ratio + 1 / ratio - 4 * u * (1 - u))
        bound = np.trapezoid(free * (1 - (1 + binding * energy**2 * u) ** -4), u)
        expected = partial_coefficients(material, np.array([energy]))["compton_incoherent"][0]
        assert 0.75 * free_electrons * bound == pytest.approx(expected, rel=0.04)
