"""From a beam's control points to the photon fluence that leaves the head.

Each source of the machine is a Gaussian in a plane `distance_mm` below the target.
A collimator edge at distance d from the target, planned to lie at e in the
isocentre plane (distance D from the target), sits at e d / D. A ray from the
point s of a source at distance a through that edge meets the isocentre plane at

    e (d / D) (D - a) / (d - a)  -  s (D - d) / (d - a).

So this source sees the edge magnified by ``zoom = d (D - a) / (D (d - a))`` and
blurred with ``sigma = sigma_source (D - d) / (d - a)``. For the focal spot (a = 0)
the zoom is 1 and the blur the textbook penumbra. Both hold in the isocentre
plane; the engines project the map along rays from the target, so that penumbra
widens with distance as if it came from there.

Stated approximations:

* an elliptic source seen at an oblique collimator angle keeps its widths along u
  and v but loses their correlation;
* photons of the second source travel on as if they came from the target;
* leaf tips are sharp and withdrawn by the tip offset, leaf sides are plane (no
  tongue and groove), transmission is one number per device and does not harden;
* nothing passes beside the leaf bank;
* monitor backscatter from the jaws is left out.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from math import ceil, cos, floor, radians, sin
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from dosecalc.beam.devices import Devices, beam_devices, device_motion, nominal_envelope
from dosecalc.beam.fluence import Fluence
from dosecalc.beam.frames import beam_axes, source_position
from dosecalc.beam.segments import Segment, beam_segments
from dosecalc.beam.validity import check_beam
from dosecalc.core.aperture import LEAST_SIGMA, Collimation, Motion, add_openings
from dosecalc.core.threads import thread_count
from dosecalc.errors import InputError, PhysicalDataError
from dosecalc.model import Beam, JawModel, Machine, MlcModel, PatientPosition, PhotonSource

__all__ = ["beam_fluences", "edge_blur"]

_Span = tuple[float, float]


def beam_fluences(
    beam: Beam,
    plan_position: PatientPosition,
    machine: Machine,
    *,
    pixel_mm: float = 1.0,
    arc_bin_deg: float = 2.0,
    cutoff: float = 1e-3,
) -> tuple[Fluence, ...]:
    """Photon fluence that a beam delivers, per gantry position.

    A beam whose gantry and collimator stand still gives one map, with all its control
    points accumulated; where they turn with the beam on, there is one map per bin (see
    `beam_segments`). Motion between control points is integrated, not sampled.

    Parameters
    ----------
    beam : Beam
    plan_position : PatientPosition
    machine : Machine
        Its `profile` is the energy fluence per solid angle relative to the axis.
    pixel_mm : float, mm
        Largest pixel. Pixels are fitted to the box around the open field, so the edges
        of a static rectangular field are pixel edges.
    arc_bin_deg : float, degrees
        Largest bin of gantry and of collimator angle.
    cutoff : float
        Share of the open fluence that is small enough to leave out: the map ends where
        the tails of the penumbra fall below it, and a collimator whose transmission is
        not above it counts as opaque. Transmission above it is followed out to
        `Limits.field_max_mm`.

    Returns
    -------
    tuple of Fluence
        Values are MU times fluence relative to the open field's axis; none for a beam
        without MU.

    Raises
    ------
    OutsideValidityError, UnsupportedError, InputError
        See `check_beam`.
    PhysicalDataError
        A collimator of the model does not lie between its sources and the isocentre.
    """
    if not (pixel_mm > 0 and 0 < cutoff < 1):
        raise InputError(
            f"pixel_mm {pixel_mm} and cutoff {cutoff}: a size above zero and a share below 1 "
            "are needed"
        )
    check_beam(beam, machine)
    devices = beam_devices(beam, machine)

    def fluence_of(segment: Segment) -> Fluence | None:
        return _segment_fluence(segment, beam, plan_position, machine, devices, pixel_mm, cutoff)

    segments = beam_segments(beam, arc_bin_deg)
    # What takes the time is compiled, so threads do not wait for each other.
    with ThreadPoolExecutor(thread_count()) as pool:
        return tuple(one for one in pool.map(fluence_of, segments) if one is not None)


def _segment_fluence(
    segment: Segment,
    beam: Beam,
    position: PatientPosition,
    machine: Machine,
    devices: Devices,
    pixel_mm: float,
    cutoff: float,
) -> Fluence | None:
    """Map of one segment, or None where nothing above the cutoff comes out."""
    motion = device_motion(devices, segment.parts)
    heads = [
        _collimation(source, machine, devices, segment.collimator_deg, cutoff)
        for source in machine.sources
    ]
    edges = _map_edges(motion, heads, machine, devices, pixel_mm, cutoff)
    if edges is None:
        return None
    along, across = edges
    values = np.zeros((across.size - 1, along.size - 1))
    for source, head in zip(machine.sources, heads, strict=True):
        values += source.weight * _source_map(motion, head, along, across)
    u, v = (along, across) if devices.axis == "x" else (across, along)
    if devices.axis == "y":
        values = values.T
    if machine.profile is not None:
        values = values * machine.profile(np.hypot(_centres(u), _centres(v)[:, None]))
    point = beam.control_points[0]
    axes = beam_axes(position, segment.gantry_deg, segment.collimator_deg, point.couch_deg)
    return Fluence(
        source=source_position(point.isocentre, axes, machine.sad_mm),
        axes=axes,
        sad_mm=machine.sad_mm,
        values=values.astype(np.float32),
        u0=float(u[0]),
        v0=float(v[0]),
        pixel_u=float((u[-1] - u[0]) / (u.size - 1)),
        pixel_v=float((v[-1] - v[0]) / (v.size - 1)),
        spectrum=machine.spectrum,
        softening=machine.softening,
    )


def _source_map(
    motion: Motion, head: Collimation, along: NDArray[np.float64], across: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Map of one source, MU, (across, along).

    A source much wider than a pixel is mapped on coarser pixels of an eighth of its
    narrowest blur and interpolated linearly, which is off by less than 0.2 % of the
    share of that source.
    """
    coarse_along = _coarser(along, min(head.sigma_along, head.sigma_tip) / 8)
    coarse_across = _coarser(across, min(head.sigma_across, head.sigma_side) / 8)
    values = np.zeros((coarse_across.size - 1, coarse_along.size - 1))
    add_openings(motion, head, coarse_along, coarse_across, values)
    if coarse_across is not across:
        values = _interpolated(values, coarse_across, across)
    if coarse_along is not along:
        values = _interpolated(values.T, coarse_along, along).T
    return values


def _coarser(edges: NDArray[np.float64], size_mm: float) -> NDArray[np.float64]:
    """Edges of pixels of about a given size that reach beyond both ends.

    `edges` itself where its pixels are not much finer.
    """
    fine = float(edges[1] - edges[0])
    factor = floor(size_mm / fine)
    if factor < 2:
        return edges
    count = ceil((edges.size - 1) / factor) + 2
    return np.asarray(edges[0] + factor * fine * np.arange(-1, count))


def _interpolated(
    values: NDArray[np.float64], coarse: NDArray[np.float64], fine: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Rows of pixel values interpolated linearly from coarse to fine pixels."""
    places = _centres(coarse)
    above = np.searchsorted(places, _centres(fine))
    share = (_centres(fine) - places[above - 1]) / (places[above] - places[above - 1])
    return np.asarray(values[above - 1] * (1 - share)[:, None] + values[above] * share[:, None])


def _centres(edges: NDArray[np.float64]) -> NDArray[np.float64]:
    return (edges[:-1] + edges[1:]) / 2


def _collimation(
    source: PhotonSource, machine: Machine, devices: Devices, collimator_deg: float, cutoff: float
) -> Collimation:
    """Blur, magnification and transmission of each device for one source.

    Absent devices get the blur of the present one on their axis: they limit nothing.
    """
    turn = radians(collimator_deg)
    sigma_u = float(np.hypot(source.sigma_x_mm * cos(turn), source.sigma_y_mm * sin(turn)))
    sigma_v = float(np.hypot(source.sigma_x_mm * sin(turn), source.sigma_y_mm * cos(turn)))
    along, across = (sigma_u, sigma_v) if devices.axis == "x" else (sigma_v, sigma_u)
    mlc = machine.mlc if devices.has_leaves else None
    zoom_along, blur_along = _projection(source, devices.along_model or mlc, machine)
    zoom_across, blur_across = _projection(source, devices.across_model or mlc, machine)
    _, blur_tip = _projection(source, mlc or devices.along_model, machine)
    zoom_mlc, blur_side = _projection(source, mlc or devices.across_model, machine)
    through = [
        0.0 if device is None or device.transmission <= cutoff else device.transmission
        for device in (devices.along_model, devices.across_model, mlc)
    ]
    return Collimation(
        sigma_along=max(LEAST_SIGMA, along * blur_along),
        sigma_across=max(LEAST_SIGMA, across * blur_across),
        sigma_tip=max(LEAST_SIGMA, along * blur_tip),
        sigma_side=max(LEAST_SIGMA, across * blur_side),
        zoom_along=zoom_along,
        zoom_across=zoom_across,
        zoom_mlc=zoom_mlc,
        through_along=through[0],
        through_across=through[1],
        through_mlc=through[2],
    )


def _projection(
    source: PhotonSource, device: JawModel | MlcModel | None, machine: Machine
) -> tuple[float, float]:
    """Magnification of a device's edges and its blur per source width."""
    if device is None:
        return 1.0, 0.0
    a, d, sad = source.distance_mm, device.distance_mm, machine.sad_mm
    if not 0 <= a < d < sad:
        raise PhysicalDataError(
            f"machine {machine.name!r}: a collimator {d:g} mm from the target does not lie between "
            f"a source at {a:g} mm and the isocentre at {sad:g} mm"
        )
    return d * (sad - a) / (sad * (d - a)), (sad - d) / (d - a)


def edge_blur(source: PhotonSource, machine: Machine) -> tuple[float, float]:
    """Return the standard deviation (mm) of edges along u and v, collimator at 0.

    In the isocentre plane, of the leaves, or of the jaws where there are no leaves; 0 without both.
    """
    _, blur_u = _projection(source, machine.mlc or machine.jaws_x, machine)
    _, blur_v = _projection(source, machine.mlc or machine.jaws_y, machine)
    return source.sigma_x_mm * blur_u, source.sigma_y_mm * blur_v


def _map_edges(
    motion: Motion,
    heads: list[Collimation],
    machine: Machine,
    devices: Devices,
    pixel_mm: float,
    cutoff: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Pixel edges along and across the leaves' travel, or None where everything is closed."""
    leak_mlc = heads[0].through_mlc > 0
    shown = motion
    if leak_mlc:
        # Leaves that leak do not end the map; their bank does, and the jaws.
        withdrawn = np.array([-np.inf, -np.inf, np.inf, np.inf])
        shown = motion._replace(leaves=np.broadcast_to(withdrawn, motion.leaves.shape))
    box = nominal_envelope(shown)
    if box is None:
        return None
    half = machine.limits.field_max_mm / 2
    edges = []
    for name, (low, high) in zip(("along", "across"), box, strict=True):
        jaws = devices.along_model if name == "along" else devices.across_model
        unbounded = name == "along" and jaws is None and (leak_mlc or not devices.has_leaves)
        if unbounded or (jaws is not None and jaws.transmission > cutoff):
            edges.append(_pixel_edges((-half, half), (0.0, 0.0), pixel_mm))
            continue
        reach = [
            _tail(head, source.weight, name, cutoff)
            for head, source in zip(heads, machine.sources, strict=True)
            if source.weight > cutoff
        ]
        below = max((low - min(low * zoom, low) + tail for zoom, tail in reach), default=0.0)
        above = max((max(high * zoom, high) - high + tail for zoom, tail in reach), default=0.0)
        edges.append(_pixel_edges((low, high), (below, above), pixel_mm))
    return edges[0], edges[1]


def _tail(head: Collimation, weight: float, name: str, cutoff: float) -> tuple[float, float]:
    """Largest magnification of an edge, and how far its light reaches until below the cutoff."""
    jaw, leaf = (
        (head.sigma_along, head.sigma_tip)
        if name == "along"
        else (head.sigma_across, head.sigma_side)
    )
    zoom = head.zoom_along if name == "along" else head.zoom_across
    quantile = max(0.0, NormalDist().inv_cdf(1 - cutoff / weight))
    sigma = max(jaw, leaf)
    return max(zoom, head.zoom_mlc), 0.0 if sigma <= LEAST_SIGMA else quantile * sigma


def _pixel_edges(box: _Span, margin: _Span, pixel_mm: float) -> NDArray[np.float64]:
    """Evenly spaced edges that include both ends of the box exactly and cover the margins.

    A box under half a pixel with margins around it, such as a slit between leaves, is
    not worth finer pixels: then only its low end is an edge.
    """
    low, high = box
    if high - low < pixel_mm / 2 and max(margin) > 0:
        high = low + pixel_mm
    count = max(1, ceil((high - low) / pixel_mm - 1e-6))
    size = (high - low) / count
    before, after = (ceil(m / size - 1e-6) for m in margin)
    return low + (high - low) * (np.arange(-before, count + after + 1) / count)
