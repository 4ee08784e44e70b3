"""DICOM numbers as a viewer shows them: modality LUT, VOI LUT or window, palettes and deep colours, to 8-bit grey.

What pydicom's functions do to files that are in order is done here to the last bit, and files that are not are borne:
empty slopes, windows of no width or beside all values, tables of 8 bits that call themselves tables of 16.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset

from fracture.data.dicom_frame import Frame, first_value, number, numbers
from fracture.data.pixels import Floats, Grey, ImageError, Mask, Numbers, luminance, stretch

_PALETTE = "not a readable DICOM image (its colours lie in a table, and the table is missing or damaged)"
_PALETTES = tuple(f"{colour}PaletteColorLookupTable" for colour in ("Red", "Green", "Blue"))


def shown(dataset: Dataset, frame: Frame) -> Grey:
    """The grey pixels [height, width] of a frame; padding is black and takes no part in windowing and stretching.

    Raises:
        ImageError: a value is not finite, or a palette is missing.
        Exception: whatever pydicom and numpy say of damaged tables.
    """
    if frame.photometric == "PALETTE COLOR":
        return _of_palette(dataset, frame.values)
    if frame.values.ndim == 3:
        return _of_colours(frame)
    _take_from_groups(dataset)
    values, low, high = _modality(dataset, frame)
    image = np.ones(values.shape, np.bool_) if frame.padding is None else ~frame.padding
    values = _of_interest(dataset, values, low, high, image)
    inverted = frame.photometric == "MONOCHROME1"
    return stretch(-values if inverted else values, None if frame.padding is None else image)


def _take_from_groups(dataset: Dataset) -> None:
    """Put rescaling and window where other files have them: enhanced objects have groups, the frame's own last."""
    for groups in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for kind in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
            group = first_value(dataset, groups)
            if group is not None and (held := first_value(group, kind)) is not None:
                dataset.update(held)


def _of_colours(frame: Frame) -> Grey:
    """The luminance of colours, e.g. of a secondary capture; deep ones are scaled by the bits that are used."""
    if frame.values.dtype == np.uint8 and frame.photometric == "RGB":
        return np.asarray(Image.fromarray(frame.values).convert("L"))
    grey = frame.values[..., 0] if frame.photometric.startswith("YBR") else luminance(frame.values)
    low = -(2.0 ** (frame.bits - 1)) if frame.signed else 0.0
    return np.asarray(np.round(np.clip((grey - low) / (2.0**frame.bits - 1), 0, 1) * 255), np.uint8)


def _of_palette(dataset: Dataset, values: Numbers) -> Grey:
    """The luminance of a palette's colours."""
    looked_up = [_looked_up(dataset, dataset, palette, values) for palette in _PALETTES]
    if any(channel is None for channel in looked_up):
        raise ImageError(_PALETTE)
    colours = np.stack([channel for channel in looked_up if channel is not None], axis=-1)
    top = 255 if colours.max() <= 255 else 65535  # many files call tables of 8 bits ones of 16
    return np.asarray(np.round(luminance(colours) / top * 255), np.uint8)


def _modality(dataset: Dataset, frame: Frame) -> tuple[Numbers, float, float]:
    """Values after the modality LUT or rescaling, and the least and the greatest that can be (PS3.3 C.11.1)."""
    if (table := first_value(dataset, "ModalityLUTSequence")) is not None:
        looked_up = _looked_up(dataset, table, "LUT", frame.values)
        if looked_up is not None:
            return looked_up, 0.0, 2.0 ** int(table.LUTDescriptor[2]) - 1
    low, high = 0.0, 2.0**frame.bits - 1
    if frame.signed:
        low, high = -(2.0 ** (frame.bits - 1)), 2.0 ** (frame.bits - 1) - 1
    slope, intercept = number(dataset, "RescaleSlope"), number(dataset, "RescaleIntercept")
    if not slope and not intercept:  # a slope of 0 would leave nothing to see
        return frame.values, low, high
    slope, intercept = slope or 1.0, intercept or 0.0
    ends = sorted((low * slope + intercept, high * slope + intercept))
    return np.asarray(frame.values, np.float64) * slope + intercept, ends[0], ends[1]


def _of_interest(dataset: Dataset, values: Numbers, low: float, high: float, image: Mask) -> Floats:
    """Values after the first VOI LUT, else the first window that shows anything, else as they are (PS3.3 C.11.2)."""
    if (table := first_value(dataset, "VOILUTSequence")) is not None:
        looked_up = _looked_up(dataset, table, "LUT", values)
        if looked_up is not None:
            return np.asarray(looked_up, np.float64)
    exact = np.asarray(values, np.float64)
    function = str(first_value(dataset, "VOILUTFunction") or "LINEAR").strip().upper()
    least = 1.0 if function not in ("LINEAR_EXACT", "SIGMOID") else np.finfo(np.float64).tiny
    for centre, width in zip(numbers(dataset, "WindowCenter"), numbers(dataset, "WindowWidth"), strict=False):
        if centre is not None and width is not None and width >= least:
            spread = _windowed(exact, centre, width, function, low, high)
            if image.any() and 255 * np.ptp(spread[image]) >= high - low:  # else it is beside all values
                return spread
    return exact


def _windowed(values: Floats, centre: float, width: float, function: str, low: float, high: float) -> Floats:
    """Values in a window spread from ``low`` to ``high`` (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""
    if function == "SIGMOID":
        with np.errstate(over="ignore"):
            return np.asarray((high - low) / (1 + np.exp(-4 * (values - centre) / width)) + low)
    if function != "LINEAR_EXACT":
        centre, width = centre - 0.5, width - 1
    below, above = values <= centre - width / 2, values > centre + width / 2
    between = ~below & ~above
    spread = np.where(below, low, high)
    spread[between] = ((values[between] - centre) / width + 0.5) * (high - low) + low
    return spread


def _looked_up(dataset: Dataset, item: Dataset, name: str, values: Numbers) -> Numbers | None:
    """Values looked up in the table that an item holds under a name; None where it holds none that is usable."""
    descriptor, data = item.get(f"{name}Descriptor"), item.get(f"{name}Data")
    segments = item.get(f"Segmented{name}Data")
    if not isinstance(descriptor, Sequence) or len(descriptor) != 3 or not (data or segments):
        return None
    entries, first = int(descriptor[0]) % 65536 or 65536, int(descriptor[1])
    if first > 32767 and values.min() < 0:  # the first value is signed too
        first -= 65536
    little = dataset.original_encoding[1] is not False
    if data:
        table = _entries(data, entries, little=little)
    else:
        depth = "u1" if descriptor[2] == 8 else "<u2" if little else ">u2"
        table = _unfolded(np.frombuffer(segments, depth).tolist(), entries)
    places = np.clip(np.asarray(values - float(first), np.int64), 0, len(table) - 1)
    return np.asarray(table[places])


def _entries(data: Any, entries: int, *, little: bool) -> Numbers:
    """The entries of a table: of 8 bits where there is a byte for each only, else of 16."""
    if not isinstance(data, bytes):  # pydicom has read numbers already
        return np.asarray(data).reshape(-1)[:entries] % 65536
    if len(data) >= 2 * entries:
        return np.frombuffer(data[: 2 * entries], "<u2" if little else ">u2")
    return np.frombuffer(data, np.uint8)[:entries]


def _unfolded(data: list[int], entries: int) -> Numbers:
    """The entries of a segmented table: runs of values and straight lines between them (PS3.3 C.7.9.2)."""
    values: list[int] = []
    place = 0
    while place + 2 < len(data) and len(values) < entries:
        kind, length = data[place], data[place + 1]
        if kind == 0:
            values += data[place + 2 : place + 2 + length]
            place += 2 + length
        elif kind == 1 and values:
            line = np.linspace(values[-1], data[place + 2], length + 1)[1:]
            values += [int(value) for value in np.around(line)]
            place += 3
        else:  # copies of other segments, which no known device writes
            raise ImageError(_PALETTE)
    return np.array(values[:entries])
