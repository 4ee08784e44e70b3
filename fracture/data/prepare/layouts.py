"""Data sets known by name, as plain data: who made them, under which licence, and how to read their paths.

A layout fits a tree of files when its ``path`` is found in nearly all image paths below it, at whatever depth. The
expression's named parts are ``label``, ``split``, ``patient`` and those of ``study``; what is not named is worked out
as for any tree.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

_FITS = 0.9  # share of a tree's images that a layout's expression must find


@dataclass(frozen=True)
class Layout:
    """One data set known by name.

    Attributes:
        name: as ``--layout`` spells it, and the source of its images.
        title, citation, licence, where: what to cite, what is allowed, and where to get it.
        path: expression searched in each image's path from the root of the tree.
        labels: class of what ``label`` finds, in lower case.
        excluded: what ``label`` finds and is left out, in lower case, with the reason.
        table: name of the CSV file that holds the labels, empty if none.
        key: column of the table that holds the image's file name or its stem.
        column: column of the table that says what ``label`` would.
        study: name of the images taken together, from named parts of ``path``; empty if it does not tell.
        drop: columns of the table which, where 1, leave the image out, with the reason.
    """

    name: str
    title: str
    citation: str
    licence: str
    where: str
    path: str
    labels: Mapping[str, str]
    excluded: Mapping[str, str] = field(default_factory=dict)
    table: str = ""
    key: str = ""
    column: str = ""
    study: str = ""
    drop: Mapping[str, str] = field(default_factory=dict)


_OTHER_TYPE = "a fracture type that is neither simple nor comminuted"

LAYOUTS: tuple[Layout, ...] = (
    Layout(
        name="three-classes",
        title="Comminuted, simple and no fracture, in split folders",
        citation="no publication known; augmented copies of several sets, split after augmentation: audit it",
        licence="unknown: that of the sets it was made from",
        where="passed on as a folder",
        path=r"(?:^|/)(?P<split>train|val|test)/(?P<label>comminuted_fracture|no_fracture|simple_fracture)/",
        labels={name: name for name in ("comminuted_fracture", "no_fracture", "simple_fracture")},
    ),
    Layout(
        name="simple-vs-comminuted",
        title="Bone Fracture X-ray Dataset: Simple vs. Comminuted Fractures (309 originals, 3,090 augmented copies)",
        citation="Mendeley Data, V1, doi 10.17632/vg95gvhj3y.1",
        licence="stated on the data set's page",
        where="https://data.mendeley.com/datasets/vg95gvhj3y/1",
        path=r"(?:^|/)(?:orginal|original|augmented)/(?P<label>simple bone fracture|comminuted bone fracture)/",
        labels={"simple bone fracture": "simple_fracture", "comminuted bone fracture": "comminuted_fracture"},
    ),
    Layout(
        name="mura",
        title="MURA: musculoskeletal radiographs of the upper extremity (40,561 images, 14,863 studies)",
        citation="Rajpurkar et al. 2017, arXiv 1712.06957",
        licence="research use under Stanford's data set agreement; not to be passed on",
        where="https://stanfordmlgroup.github.io/competitions/mura/",
        path=r"(?:(?:^|/)(?P<split>train|valid)/|^|/)(?P<study>XR_[A-Z]+/(?P<patient>patient\d+)/study\d+)_(?P<label>positive|negative)/[^/]+$",
        study=r"\g<study>",
        labels={"negative": "no_fracture"},
        excluded={
            "positive": "MURA's positive studies are abnormal in any way, not known to be fractured; "
            "--label-map positive=abnormal keeps them"
        },
    ),
    Layout(
        name="fracatlas",
        title="FracAtlas (4,083 images of three hospitals in Bangladesh)",
        citation="Abedeen et al. 2023, Scientific Data 10:521, doi 10.1038/s41597-023-02432-4",
        licence="CC BY 4.0",
        where="https://doi.org/10.6084/m9.figshare.22363012",
        path=r"(?:^|/)images/(?P<label>fractured|non_fractured)/IMG\d+\.jpg$",
        labels={"fractured": "fracture", "non_fractured": "no_fracture", "1": "fracture", "0": "no_fracture"},
        table="dataset.csv",
        key="image_id",
        column="fractured",
    ),
    Layout(
        name="bone-break",
        title="Bone Break Classification Image Dataset (ten types of fracture, 1,129 images, exported from Roboflow)",
        citation="Kaggle, pkdarabi/bone-break-classification-image-dataset",
        licence="stated on the data set's page; the images were collected from the web, their rights are unverified",
        where="https://www.kaggle.com/datasets/pkdarabi/bone-break-classification-image-dataset",
        path=r"(?:^|/)(?P<label>(?:avulsion|comminuted|greenstick|hairline|impacted|longitudinal|oblique|pathological|spiral)"
        r" fracture|fracture dislocation)/(?:(?P<split>train|test|val|valid)/)?[^/]+$",
        labels={
            "comminuted fracture": "comminuted_fracture",
            "greenstick fracture": "simple_fracture",
            "hairline fracture": "simple_fracture",
            "longitudinal fracture": "simple_fracture",
            "oblique fracture": "simple_fracture",
            "spiral fracture": "simple_fracture",
        },
        excluded={
            "avulsion fracture": _OTHER_TYPE,
            "fracture dislocation": _OTHER_TYPE,
            "impacted fracture": _OTHER_TYPE,
            "pathological fracture": _OTHER_TYPE,
        },
    ),
    Layout(
        name="grazpedwri-dx",
        title="GRAZPEDWRI-DX: paediatric wrist trauma (20,327 images of 6,091 patients)",
        citation="Nagy et al. 2022, Scientific Data 9:222, doi 10.1038/s41597-022-01328-z",
        licence="CC BY 4.0",
        where="https://doi.org/10.6084/m9.figshare.14825193",
        path=r"(?:^|/)(?P<patient>\d{4})_\d{10}_(?P<exam>\d{2})_WRI-(?P<side>[LR])\d_[MF]\d{3}\.png$",
        study=r"\g<patient>/\g<exam>/\g<side>",
        labels={"1": "fracture", "": "no_fracture", "0": "no_fracture"},
        table="dataset.csv",
        key="filestem",
        column="fracture_visible",
        drop={"diagnosis_uncertain": "its radiologists marked the diagnosis as uncertain"},
    ),
)

NAMES: tuple[str, ...] = tuple(layout.name for layout in LAYOUTS)


def named(name: str) -> Layout:
    """The layout of that name.

    Raises:
        KeyError: no such layout.
    """
    return {layout.name: layout for layout in LAYOUTS}[name]


def recognise(paths: Sequence[str]) -> Layout | None:
    """The layout that nearly all of these paths fit, and whose classes are all that there are, if any."""
    for layout in LAYOUTS:
        pattern = re.compile(layout.path, re.IGNORECASE)
        found = {path: pattern.search(path) for path in paths}
        others = [path for path, match in found.items() if match is None]
        if paths and len(others) <= (1 - _FITS) * len(paths) and not _further_class(found.values(), others):
            return layout
    return None


def _further_class(found: Iterable[re.Match[str] | None], others: Sequence[str]) -> bool:
    """Whether a file that does not fit lies in a folder beside those that are classes, as ``Normal`` would."""
    starts = {match.string[: match.start("label")] for match in found if match and "label" in match.re.groupindex}
    beside = tuple(start for start in starts if not start or start.endswith("/"))
    return any("/" in path[len(start) :] for start in beside for path in others if path.startswith(start))
