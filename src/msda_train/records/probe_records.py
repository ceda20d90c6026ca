"""A probe's number as a record with columns: which attack, which eps, how many bins.

Probes write their records beside their numbers. Rows from before hold numbers only, and their names are read
here, and nowhere else.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

_NUMBER = r"\d+_\d+|\d+(?:\.\d+)?(?:e-?\d+)?"
_BALL = rf"(?P<norm>linf|l2)_(?P<space>pixel|normalised)_(?P<eps>{_NUMBER})"
_IMAGES = r"(?:_n(?P<images>\d{1,9}))?"
_RATE = rf"{_IMAGES}/(?P<measure>\w+)"
_SCALED = (
    r"(?:(?P<ts>ts)(?:_(?P<validation>0\.\d{1,9}))?_|mc_p(?P<p>[\d.]{1,9})_n(?P<samples>\d{1,6})_)?"
    r"(?P<measure>ece|oe|mce|brier|nll|count|confidence|accuracy)(?:_(?P<bins>\d{1,4}))?"
)
_BLEND = r"(?P<split>train|test)_(?P<blend>mixup|cutmix)(?P<box>_centre)?"
_PATTERNS = {
    "adversarial": (
        rf"(?:from_(?P<source>\w{{1,40}})/)?(?P<attack>fgsm|ifgsm|pgd)_{_BALL}"
        rf"(?:_steps(?P<steps>\d{{1,9}}))?(?:_step(?P<step_size>{_NUMBER}))?"
        rf"(?:_restarts(?P<restarts>\d{{1,9}}))?(?:_(?P<loss>bce_softmax))?{_RATE}",
        rf"(?P<attack>noise)_{_BALL}{_RATE}",
        rf"(?P<attack>clean|unbounded){_RATE}",
        rf"(?P<measure>zero_gradient_share){_IMAGES}",
    ),
    "calibration": (_SCALED, r"(?P<measure>temperature)(?:_(?P<validation>0\.\d{1,9}))?"),
    "deformations": (
        r"(?P<kind>plain)/(?P<measure>error)",
        r"(?P<kind>rotation|shear|zoom)_(?P<strength>\d+(?:\.\d+)?)(?:_(?P<interpolation>nearest))?"
        r"(?:_(?P<fill>mean|edge))?/(?P<measure>error)",
        r"(?P<kind>occlusion_centre|occlusion_border)_(?P<strength>\d+(?:\.\d+)?)/(?P<measure>error)",
    ),
    "gradients": (
        r"(?P<split>train|test)_(?P<each>each_)?(?P<measure>near_over_far|log_slope)",
        r"(?P<measure>theory)_(?P<method>\w{1,40})",
    ),
    "in_between": (
        rf"{_BLEND}/(?P<measure>error|gradient)_(?P<aggregate>half|mean|max)(?:_(?P<points>\d{{1,6}}))?",
        rf"{_BLEND}_(?P<measure>error|gradient)",
    ),
    "memorisation": (r"(?P<measure>train_error)_(?P<labels>given|real|wrong)",),
    "ood": (
        rf"mean_of_(?P<sets>\d{{1,6}}){_RATE}",
        rf"(?P<set>\w[\w.-]*?){_RATE}",
        rf"(?P<measure>histogram)_(?P<set>\w[\w.-]{{0,39}}?){_IMAGES}",
    ),
    "representation": (
        r"(?P<layer>stage_\d{1,4}|last)/(?P<measure>(?:class|means)_(?:largest|rest|share))",
        r"knn_(?P<k>\d{1,9})_(?P<distance>cosine|euclidean)/(?P<measure>error)",
    ),
    "validation": (r"(?P<measure>error|nll)",),
}
_WHOLE = ("steps", "restarts", "images", "bins", "samples", "points", "sets", "k")
_REAL = ("eps", "step_size", "validation", "p", "strength")
_PLAIN = (str, int, float, bool, type(None))
_LONGEST_WORD = 200


def probe_records(row: Any) -> list[dict[str, Any]]:
    """Of every number of a probe in `row.metrics`: probe, name, value, and the columns of its setting.

    The setting is what the probe stored in `row.probes`, {probe: {"records": [{"name": ..., ...}]}}, where
    the row has that; else what the name says. Rows come from anywhere: a record that is no flat mapping of
    plain values is as if it were not there.
    """
    stored = getattr(row, "probes", None)
    told = {
        (probe, record["name"]): record
        for probe, found in (stored.items() if isinstance(stored, Mapping) else ())
        for record in _sound(found)
    }
    made = []
    for key, value in row.metrics.items():
        probe, _, name = key.partition("/")
        if probe in _PATTERNS or (probe, name) in told:
            columns = told.get((probe, name)) or columns_of(probe, name) or {}
            made.append({**columns, "probe": probe, "name": name, "value": value})
    return made


def columns_of(probe: str, name: str) -> dict[str, Any] | None:
    """What the name of a number or of an array says of its setting; None where it says nothing."""
    for pattern in _PATTERNS.get(probe, ()):
        match = re.fullmatch(pattern, name)
        if match:
            try:
                return _typed(probe, match.groupdict())
            except (ValueError, ZeroDivisionError, OverflowError):
                return None
    return None


def _typed(probe: str, words: Mapping[str, str | None]) -> dict[str, Any]:
    found: dict[str, Any] = {key: word for key, word in words.items() if key not in ("ts", "each", "box")}
    found |= {key: int(found[key]) for key in _WHOLE if found.get(key)}
    found |= {key: _real(found[key]) for key in _REAL if found.get(key)}
    if found.get("attack") in ("fgsm", "ifgsm", "pgd"):
        found |= {"steps": found["steps"] or 1, "restarts": found["restarts"] or 1}
        found["loss"] = found["loss"] or "ce"
    if probe == "calibration":
        scaled = "temperature" if words.get("ts") or found["measure"] == "temperature" else "none"
        found["scaling"] = "mc_dropout" if found.get("p") is not None else scaled
        if scaled == "temperature":
            found["validation"] = found["validation"] or 0.1
    if found.get("kind") in ("rotation", "shear", "zoom"):
        found["interpolation"] = found["interpolation"] or "bilinear"
        found["fill"] = found["fill"] or "black"
    if found.get("blend") == "cutmix":
        found["box"] = "centre" if words["box"] else "random"
    if probe == "gradients" and "each" in words:
        found["each"] = words["each"] is not None
    return {key: value for key, value in found.items() if value is not None}


def _real(word: str) -> float:
    above, _, below = word.partition("_")
    return float(above) / float(below or 1)


def _sound(found: Any) -> Iterator[dict[str, Any]]:
    records = found.get("records") if isinstance(found, Mapping) else None
    for record in records if isinstance(records, list | tuple) else ():
        if isinstance(record, Mapping) and isinstance(record.get("name"), str):
            plain = all(isinstance(key, str) and _is_plain(value) for key, value in record.items())
            if plain and len(record) <= 30:
                yield dict(record)


def _is_plain(value: Any) -> bool:
    return isinstance(value, _PLAIN) and not (isinstance(value, str) and len(value) > _LONGEST_WORD)
