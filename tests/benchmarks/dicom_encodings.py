"""Which of the DICOM files that pydicom ships are decoded, by transfer syntax: the table of docs/prepare.md.

usage: python -m tests.benchmarks.dicom_encodings
"""

import io
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path

import pydicom

from fracture.data.dicom_codecs import name_of
from fracture.data.images import ImageError, decode


def main() -> None:
    """Print one row a transfer syntax, and the reason for every file that is not decoded."""
    found: dict[str, list[bool]] = defaultdict(list)
    refused: list[str] = []
    for path in sorted((Path(pydicom.__file__).parent / "data").rglob("*")):
        data = path.read_bytes() if path.is_file() else b""
        if data[128:132] != b"DICM":
            continue
        dataset = pydicom.dcmread(io.BytesIO(data))
        syntax = dataset.file_meta.get("TransferSyntaxUID")
        if syntax is None or "PixelData" not in dataset or "Rows" not in dataset:
            continue
        try:
            decode(data)
            found[name_of(syntax)].append(True)
        except ImageError as error:
            found[name_of(syntax)].append(False)
            refused.append(f"{path.name}: {error}")
    print(f"pydicom {version('pydicom')}, imagecodecs {version('imagecodecs')}, Pillow {version('pillow')}\n")
    print("| transfer syntax | files | decoded |\n|---|---|---|")
    for name, decoded in sorted(found.items()):
        print(f"| {name} | {len(decoded)} | {sum(decoded)} |")
    print("", *refused, sep="\n")


if __name__ == "__main__":
    main()
