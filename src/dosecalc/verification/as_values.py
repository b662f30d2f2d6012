"""A verification as plain JSON values: everything the report shows, and the run's record."""

from __future__ import annotations

from typing import Any

import numpy as np

from dosecalc.analysis.dvh import Dvh
from dosecalc.analysis.gamma import GammaResult
from dosecalc.records.record import VERIFICATION_SCHEMA
from dosecalc.verification.verification import GoalRow, PointRow, StructureRow, Verification

__all__ = ["gamma_is_capped", "verification_values"]

_CURVE_POINTS = 201


def verification_values(verification: Verification) -> dict[str, Any]:
    """Return a verification as values that JSON knows; doses in Gy of the whole plan."""
    v, gamma = verification, verification.gamma
    return {
        "schema": VERIFICATION_SCHEMA,
        "case": v.label,
        "outcome": v.outcome.name,
        "decision": "none: the program reports, a named person decides",
        "prescription": {"text": v.prescription, "gray": v.prescribed_gy},
        "findings": [
            {
                "rule": f.rule,
                "outcome": f.outcome.name,
                "judged": f.judged,
                "sentence": f.sentence,
                **f.message.as_json(),
                # A ratio to a dose of zero is no number, which JSON does not know.
                "value": None if f.value is None or not np.isfinite(f.value) else f.value,
                "unit": f.unit,
                "review": f.review,
                "fail": f.fail,
                "at_least": f.at_least,
                "held": f.held,
                "source": f.source,
                **({"details": dict(f.details)} if f.details else {}),
            }
            for f in v.findings
        ],
        "largest_difference": None
        if v.largest is None
        else {
            "at_mm": list(v.largest.point),
            "reference_gy": v.largest.reference_gy,
            "calculated_gy": v.largest.calculated_gy,
            "percent_of_prescription": v.largest.percent_of_prescription,
            "structures": list(v.largest.structures),
        },
        "gamma": None
        if gamma is None
        else {
            "criteria": gamma.criteria.label,
            "pass_percent": gamma.pass_percent,
            "points": gamma.points,
            "outside": gamma.outside,
            "mean": gamma.mean,
            "largest": gamma.largest,
            "largest_is_lower_bound": gamma_is_capped(gamma),
            "largest_at_mm": list(gamma.worst_position),
        },
        "beams": [vars(b) | {"point": list(b.point)} for b in v.beams],
        "points": [_point(p) for p in v.points],
        "structures": [_structure(row) for row in v.rows],
        "goals": [_goal(g) for g in v.goals],
        "other_engines": sorted(v.others),
        "not_checked": list(v.not_checked),
        "shared_inputs": list(v.shared_inputs),
        "caveats": list(v.caveats),
        "record": dict(v.record),
    }


def gamma_is_capped(gamma: GammaResult) -> bool:
    """Whether the largest gamma stands for all that are at least as large."""
    return gamma.largest >= gamma.criteria.max_gamma - 1e-3


def _point(row: PointRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "point": list(row.point),
        "reference_gy": row.reference_gy,
        "calculated_gy": row.calculated_gy,
    }


def _goal(row: GoalRow) -> dict[str, Any]:
    values = vars(row) | {"text": row.text, "outcome": row.outcome.name}
    del values["goal"]
    return values


def _structure(row: StructureRow) -> dict[str, Any]:
    return {
        "name": row.structure.name,
        "number": row.structure.number,
        "kind": row.kind,
        "reference": _histogram(row.reference),
        "calculated": _histogram(row.calculated),
        "conformity": {
            "reference": None if row.reference_fit is None else vars(row.reference_fit),
            "calculated": None if row.calculated_fit is None else vars(row.calculated_fit),
        },
        "remark": row.remark,
    }


def _histogram(dvh: Dvh | None) -> dict[str, Any] | None:
    """Figures by their ICRU names, and the cumulative curve in Gy and percent."""
    if dvh is None:
        return None
    doses = np.linspace(0.0, dvh.maximum_gy, _CURVE_POINTS)
    return {
        "volume_cm3": dvh.total_cm3,
        "outside_cm3": dvh.outside_cm3,
        "mean_gy": dvh.mean_gy,
        "D98_gy": dvh.near_minimum_gy,
        "D50_gy": dvh.median_gy,
        "D2_gy": dvh.near_maximum_gy,
        "curve_gy": [round(float(x), 5) for x in doses],
        "curve_percent": [round(float(x), 4) for x in np.asarray(dvh.percent_at_dose(doses))],
    }
