"""Where the files lie that a table names: below its folder, in any folder, with or without suffix."""

import os
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from fracture.data.contents import Progress
from fracture.data.names import Names, agreeing
from fracture.data.originals import stem_of
from fracture.data.prepare.cells import names_in
from fracture.data.prepare.dicom_headers import Header, read_headers
from fracture.data.trees import Tree, walk


@dataclass(frozen=True, slots=True)
class Place:
    """What a name in a table leads to.

    Attributes:
        files: absolute paths; several where the name is that of a folder; none where there is a problem.
        problem: why there are none, without the name.
        elsewhere: the file has that name but not the whole path that the table says.
        folder: the name is that of a folder.
        namesakes: files of several folders have that name.
    """

    files: tuple[str, ...] = ()
    problem: str = ""
    elsewhere: bool = False
    folder: bool = False
    namesakes: bool = False


class FileIndex:
    """The files below one folder, by path, name and stem."""

    def __init__(
        self, root: Path, anywhere: bool = False, tree: Tree | None = None, report: Progress = lambda *_: None
    ) -> None:
        """Look below ``root``, whose files ``tree`` are if known; paths outside are refused but for ``anywhere``.

        ``report`` is called with what is being done.
        """
        self._known, self._report = tree, report
        self.real, self._named, self._anywhere = os.path.realpath(root), str(root.absolute()), anywhere

    def find(self, named: str) -> Place:
        """The file, the folder's images, or the files of a list such as ``a.png;b.png``, that a table names.

        The path itself counts first; then the path without its first folders, which are often those of another machine;
        then a file of that name, or that stem, or the one that Roboflow made of it, wherever it lies below the root, as
        long as there is only one.
        """
        text = named.replace("\\", "/")
        file = os.path.normpath(os.path.join(self.real, text))  # noqa: PTH118 - Path is slow for a million rows
        inside = self._anywhere or self._holds(file)
        if not os.path.isfile(file) and (listed := self._listed(named)):  # noqa: PTH113
            return listed
        if os.path.isfile(file):  # noqa: PTH113
            return Place((file,)) if inside else Place(problem=f"lies outside {self.real}; --root names another folder")
        composed, decomposed = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))  # macOS decomposes
        address = unquote(text.partition("?")[0]) if "://" in text else text
        spellings = dict.fromkeys([text, composed, decomposed, unquote(text), address])
        for spelling in spellings:
            if found := self._below(spelling):
                return found
        if not inside and not os.path.isabs(text):  # noqa: PTH117
            return Place(problem=f"lies outside {self.real}; --root names another folder")
        return next((found for s in spellings if (found := self._by_name(s))), Place(problem=self._why_missing(text)))

    def _listed(self, named: str) -> Place | None:
        """The files of several names in one cell; None where it is one name, of which no part is a file's."""
        names = names_in(named)
        found = {name: self.find(name) for name in names} if names != [named] else {}
        if not any(one.files for one in found.values()):
            return None
        if missing := [f"{name}: {one.problem}" for name, one in found.items() if one.problem]:
            return Place(problem=missing[0])
        files = dict.fromkeys(file for one in found.values() for file in one.files)
        return Place(tuple(files), elsewhere=any(one.elsewhere for one in found.values()))

    def has_folder_of(self, named: str) -> bool:
        """Whether the folder that a path names is there, be it without that file."""
        folders = {os.path.dirname(name.replace("\\", "/")) for name in names_in(named)}  # noqa: PTH120
        forms = {unicodedata.normalize(form, folder) for form in ("NFC", "NFD") for folder in folders}
        return any(os.path.isdir(os.path.join(self.real, one)) for one in folders | forms)  # noqa: PTH112, PTH118

    def _holds(self, file: str) -> bool:
        return any(file.startswith(folder.rstrip(os.sep) + os.sep) for folder in (self.real, self._named))

    def _below(self, text: str) -> Place | None:
        """The file or folder at the path's end, its first folders taken off one by one."""
        parts = [part for part in PurePosixPath(text).parts if part not in ("/", ".")]
        for start in range(len(parts)):
            place = os.path.join(self.real, *parts[start:])  # noqa: PTH118
            if ".." in parts[start:]:
                continue
            if os.path.isfile(place):  # noqa: PTH113
                return Place((place,), elsewhere=start > 0 and start == len(parts) - 1)
            if os.path.isdir(place):  # noqa: PTH112
                files = tuple(str(self.tree.root / path) for path in self._names.below("/".join(parts[start:])))
                return Place(files, folder=True) if files else Place(problem="is a folder without images")
        return None

    def _by_name(self, text: str) -> Place | None:
        """The only file of that name, or the one of several whose folders are those of the path."""
        wanted, names = PurePosixPath(text), self._names
        name = wanted.name
        found = names.called(name) or names.with_stem(name) or names.with_stem(name.removesuffix(".0"))
        copied = [] if found else names.copies(name)
        agrees = {path: agreeing(path, str(wanted.parent)) for path in found or copied}
        if not agrees:
            return None
        most = max(agrees.values())
        best = [path for path, count in agrees.items() if count == most]
        if len(best) > 1:
            said = "are copies of it that Roboflow made, write a row for each" if copied else "have this name"
            return Place(problem=f"{len(best)} files {said}: {', '.join(best[:3])}", namesakes=not copied)
        whole = most >= min(len(PurePosixPath(best[0]).parts), len(wanted.parts)) - 1
        return Place((str(self.tree.root / best[0]),), elsewhere=not whole)

    def _why_missing(self, text: str) -> str:
        """That a file is missing, and which one has its name with another suffix."""
        name = PurePosixPath(text.partition("?")[0]).name
        other = (self._names.called(name) or self._names.with_stem(stem_of(name)) or [""])[0]
        return "the file does not exist" + (f" (but {other} does: write that into the table)" if other else "")

    @cached_property
    def tree(self) -> Tree:
        """The files below the folder."""
        return self._known or walk(Path(self.real))

    @cached_property
    def headers(self) -> tuple[list[Header], list[str]]:
        """What the DICOM files below the folder say, and what is wrong with those that cannot be read."""
        return read_headers(self.tree, self._report)

    @cached_property
    def _names(self) -> Names:
        return Names(self.tree.images)


class Indexes:
    """The indexes of several folders, each made once: to walk one, and to read its headers, may take minutes."""

    def __init__(self, report: Progress = lambda *_: None) -> None:
        self._report = report
        self._made: dict[tuple[Path, bool], FileIndex] = {}

    def of(self, root: Path, anywhere: bool = False, tree: Tree | None = None) -> FileIndex:
        """The index of a folder, as `FileIndex` takes it."""
        if (root, anywhere) not in self._made:
            self._made[root, anywhere] = FileIndex(root, anywhere, tree, self._report)
        return self._made[root, anywhere]
