"""Which CT images a structure set was drawn on, by the series and images that it names.

A structure set lists the images it was drawn on by series, and may say of each contour which image
it lies on. Images are known by their SOP Instance UIDs, which no copy and no re-sorting changes:
where a scan came in two series, or its series was named anew, the images lead to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pydicom.dataset import Dataset
from pydicom.uid import UID, CTImageStorage

from dosecalc.errors import DicomError
from dosecalc.io.dicom._chain import Choice, dataset_of, missing
from dosecalc.io.dicom._common import items, name_of, text
from dosecalc.io.dicom._files import FoundFile
from dosecalc.io.dicom.ct import is_localizer, volume_problem
from dosecalc.io.dicom.identity import Doubt
from dosecalc.messages.message import Message
from dosecalc.model import StructureSet

__all__ = ["Images", "Told", "choose_series"]


class Images(NamedTuple):
    """What a folder holds that a structure set can be drawn on.

    ct : CT images
    others : DICOM objects that are neither CT nor of radiotherapy
    foreign : names of files that are not DICOM: images that are missing may be among them
    """

    ct: Sequence[FoundFile]
    others: Sequence[FoundFile] = ()
    foreign: Sequence[str] = ()


class Told(NamedTuple):
    """What was decided: notes for who reads, doubts that a person must confirm."""

    notes: list[str]
    doubts: list[Doubt]


class _Named(NamedTuple):
    """Images that a structure set names.

    by_series : SOP Instance UIDs of CT images by the series they are listed in
    drawn : CT images that contours name
    others : how many images of other kinds it names, by kind
    """

    by_series: dict[str, set[str]]
    drawn: set[str]
    others: Counter[str]


class _Folder(NamedTuple):
    """CT images of the folder, by series and by SOP Instance UID."""

    series: dict[str, list[FoundFile]]
    series_of: dict[str, str]
    images: Images
    told: Told

    @property
    def listed(self) -> str:
        return _listed(self.series, self.series) or "none"

    @property
    def ignored(self) -> str:
        """Say which files are called .dcm and are none: damaged on the way, or emptied."""
        names = [name for name in self.images.foreign if name.lower().endswith(".dcm")]
        if not names:
            return ""
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        verb = "is not DICOM and was" if len(names) == 1 else "are not DICOM and were"
        return f" ({', '.join(names[:3])}{more} {verb} ignored)"

    def holding(self, uids: Iterable[str]) -> list[str]:
        """Return the series that hold some of these images, that with most of them first."""
        found = Counter(self.series_of[uid] for uid in sorted(uids) if uid in self.series_of)
        return [series for series, _ in found.most_common()]


def choose_series(
    images: Images,
    set_file: FoundFile | None,
    structures: StructureSet | None,
    choice: Choice,
    told: Told,
) -> list[FoundFile]:
    """Return the files of the CT that the structure set was drawn on: of one series or several.

    Raises
    ------
    DicomError
        Images that the structure set names are not there, or are no CT; a choice nobody made;
        series that do not make one volume.
    """
    if not choice.use_ct:
        if images.ct:
            told.notes.append(f"{len(images.ct)} CT images left out as asked")
        return []
    folder = _sorted(images, told)
    if set_file is None or structures is None:
        named = _Named({}, set(), Counter())
    else:
        named = _named(dataset_of(set_file), structures.frame_of_reference_uid, folder)
    if choice.ct_series_uid is not None:
        wanted = _chosen(folder, named, choice, choice.ct_series_uid)
    elif named.by_series or folder.holding(named.drawn):
        wanted = _drawn_on(folder, named, choice)
    else:
        wanted = _only(folder, structures, named)
    if wanted:
        _refuse_lost(folder, _needed(folder, named, wanted, choice), set_file)
    return _members(folder, named, wanted)


def _sorted(images: Images, told: Told) -> _Folder:
    series: dict[str, list[FoundFile]] = {}
    for image in images.ct:
        series.setdefault(text(dataset_of(image), "SeriesInstanceUID"), []).append(image)
    for uid, members in list(series.items()):
        if all(is_localizer(dataset_of(f)) for f in members):
            told.notes.append(f"{len(members)} localizer images of series {uid} left out")
            del series[uid]
    series_of = {f.source.uid: uid for uid, members in series.items() for f in members}
    return _Folder(series, series_of, images, told)


def _named(structure_set: Dataset, frame: str, folder: _Folder) -> _Named:
    """Read which images a structure set names; those that its contours name where that matters."""
    by_series: dict[str, set[str]] = {}
    others: Counter[str] = Counter()
    for item in items(structure_set, "ReferencedFrameOfReferenceSequence"):
        its_frame = text(item, "FrameOfReferenceUID")
        if frame and its_frame and its_frame != frame:
            continue
        for study in items(item, "RTReferencedStudySequence"):
            for series in items(study, "RTReferencedSeriesSequence"):
                uids, kinds = _image_uids(series)
                others += kinds
                if uids or not kinds:
                    by_series.setdefault(text(series, "SeriesInstanceUID"), set()).update(uids)
    by_series.pop("", None)
    drawn: set[str] = set()
    found = any(by_series.values()) or by_series.keys() <= folder.series.keys()
    if len(by_series) != 1 or not found:
        for roi in items(structure_set, "ROIContourSequence"):
            for contour in items(roi, "ContourSequence"):
                drawn |= _image_uids(contour)[0]
    return _Named(by_series, drawn, others)


def _image_uids(item: Dataset) -> tuple[set[str], Counter[str]]:
    """Return the CT images that an item names, and how many of other kinds."""
    uids: set[str] = set()
    others: Counter[str] = Counter()
    for image in items(item, "ContourImageSequence"):
        kind = text(image, "ReferencedSOPClassUID")
        if UID(kind).name.endswith("Image Storage") and kind != CTImageStorage:
            others[UID(kind).name.removesuffix(" Image Storage")] += 1
        else:
            uids.add(text(image, "ReferencedSOPInstanceUID"))
    return uids - {""}, others


def _chosen(folder: _Folder, named: _Named, choice: Choice, wanted: str) -> list[str]:
    """Return the series that the user chooses, if the structure set does not name another."""
    known = {*named.by_series, *folder.holding(named.drawn)}
    for uids in named.by_series.values():
        known |= set(folder.holding(uids))
    if known and wanted not in known:
        raise DicomError(
            f"the structure set was drawn on series {', '.join(sorted(known))}, not on {wanted} "
            "(--series); leave the option out, or give the structure set of that series"
        )
    if wanted in folder.series:
        return [wanted]
    sentence = f"the CT series {wanted} is not in the folder (there: {folder.listed})"
    missing(f"{sentence}{folder.ignored}", choice, folder.told.notes)
    return []


def _drawn_on(folder: _Folder, named: _Named, choice: Choice) -> list[str]:
    """Return the series that hold the images which the structure set names."""
    if len(named.by_series) == 1:
        ((uid, uids),) = named.by_series.items()
        holding = folder.holding(uids or named.drawn) or [uid] * (uid in folder.series)
        if holding and uid not in holding:
            folder.told.notes.append(
                f"the structure set lists its images under series {uid}; they are in series "
                f"{', '.join(holding)}"
            )
    else:
        holding = folder.holding(named.drawn)
        holding = holding or [uid for uid in named.by_series if uid in folder.series]
    if holding:
        return holding
    wanted = ", ".join(named.by_series)
    other = _of_another_kind(folder, named)
    if other:
        missing(other, choice, folder.told.notes, advice=_NO_CT)
        return []
    sentence = (
        f"the CT series {wanted} that the structure set refers to is not in the folder "
        f"(there: {folder.listed}){folder.ignored}"
    )
    missing(sentence, choice, folder.told.notes)
    return []


_NO_CT = (
    "give the CT of that patient and a structure set that was drawn on it or copied to it, or fill "
    "the body with one material with --inside water"
)


def _of_another_kind(folder: _Folder, named: _Named) -> str:
    """Say that images which a structure set names are no CT, "" where the folder has none of them.

    A structure set calls them CT where the system that wrote it knows no other images.
    """
    wanted = set().union(*named.by_series.values(), named.drawn)
    kinds: Counter[str] = Counter()
    for one in folder.images.others:
        series = text(dataset_of(one), "SeriesInstanceUID")
        if one.source.uid in wanted or series in named.by_series:
            kinds[_kind(one)] += 1
    if not kinds:
        return ""
    listed = " and ".join(f"{n} {kind}" for kind, n in kinds.items())
    return (
        f"the structure set was drawn on {listed} images, which have no Hounsfield units: a dose "
        "is calculated on a CT"
    )


def _kind(one: FoundFile) -> str:
    """Return what an image is, by its modality: MR, PET ..."""
    modality = text(dataset_of(one), "Modality")
    return {"PT": "PET", "": "other"}.get(modality, modality)


def _only(folder: _Folder, structures: StructureSet | None, named: _Named) -> list[str]:
    """Return the only series there is, where nothing names one."""
    series, told = folder.series, folder.told
    frame = "" if structures is None else structures.frame_of_reference_uid
    fitting = [
        uid
        for uid, members in series.items()
        if not frame or text(dataset_of(members[0]), "FrameOfReferenceUID") == frame
    ]
    told.notes.extend(
        f"CT series {uid} left out: it is of another frame of reference"
        for uid in series
        if uid not in fitting
    )
    on_others = " and ".join(f"{n} {kind}" for kind, n in named.others.items())
    if on_others and (not fitting or not frame):
        raise DicomError(
            f"the structure set was drawn on {on_others} images, which have no Hounsfield units, "
            f"and nothing ties it to a CT of the folder (there: {folder.listed}); {_NO_CT}"
        )
    if len(fitting) > 1:
        together = [dataset_of(f) for uid in fitting for f in series[uid]]
        parts = "" if volume_problem(together) else ", or merge them, as together they are one scan"
        raise DicomError(
            f"the folder holds {len(fitting)} CT series and no structure set names one; choose one "
            f"with --series UID{parts}: {_listed(series, fitting)}"
        )
    if structures is not None and fitting:
        if on_others:
            told.notes.append(
                f"the structure set was drawn on {on_others} images; the only CT series of its "
                "frame of reference taken"
            )
        elif frame:
            told.notes.append(
                "the structure set names no CT series; the only one of its frame taken"
            )
        else:
            told.doubts.append(Doubt("structures", Message("structures.only_ct_taken")))
    return fitting


def _listed(series: dict[str, list[FoundFile]], uids: Iterable[str]) -> str:
    return "; ".join(f"{uid} ({len(series[uid])} images)" for uid in uids)


def _needed(folder: _Folder, named: _Named, wanted: list[str], choice: Choice) -> set[str]:
    """Return the CT images that the structure set names of these series, or draws contours on."""
    if len(named.by_series) == 1:
        needed = set().union(*named.by_series.values()) or named.drawn
    else:
        needed = set().union(*(named.by_series.get(uid, set()) for uid in wanted))
        if choice.ct_series_uid is None:
            needed |= named.drawn
    return needed - {one.source.uid for one in folder.images.others}


def _refuse_lost(folder: _Folder, uids: set[str], set_file: FoundFile | None) -> None:
    """Refuse images that the structure set names and that are not there: lost on the way."""
    lost = sorted(uids - set(folder.series_of))
    if lost and set_file is not None:
        raise DicomError(
            f"{name_of(dataset_of(set_file))}: of the {len(uids)} CT images it names, {len(lost)} "
            f"are not in the folder (first: {lost[0]}){folder.ignored}; export the whole series"
        )


def _members(folder: _Folder, named: _Named, wanted: list[str]) -> list[FoundFile]:
    """Return the images of the series, of several only if they make one volume."""
    members = [f for uid in wanted for f in folder.series[uid]]
    if len(wanted) < 2:
        return members
    names = set().union(*named.by_series.values(), named.drawn)
    for chosen in (members, [f for f in members if f.source.uid in names]):
        if chosen and not volume_problem([dataset_of(f) for f in chosen]):
            left_out = len(members) - len(chosen)
            sentence = (
                f"one CT of {len(wanted)} series, as the structure set names images of all: "
                f"{_listed(folder.series, wanted)}"
            )
            if left_out:
                sentence = f"{sentence}; {left_out} images that it does not name left out"
            folder.told.notes.append(sentence)
            return chosen
    raise DicomError(
        f"the structure set names images of {len(wanted)} CT series "
        f"({_listed(folder.series, wanted)}), which do not make one volume: "
        f"{volume_problem([dataset_of(f) for f in members])}; merge them into one series, or "
        "choose the one that holds all of the patient that matters with --series UID"
    )
