"""DICOM numbers as a viewer shows them: bits, padding, rescaling, windows, tables and colours of every odd kind."""

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fracture.data.images import ImageError, decode
from tests.data.dicoms import EXPLICIT, IMPLICIT, make

pydicom = pytest.importorskip("pydicom", reason="the extra [dicom] is not installed")

GREY = (np.mgrid[0:128, 0:96][1] * 20 + np.mgrid[0:128, 0:96][0] * 5).astype(np.uint16)  # 0 to 2,535
PALETTES = tuple(f"{colour}PaletteColorLookupTable" for colour in ("Red", "Green", "Blue"))


def spread(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Values stretched over 0 to 255."""
    exact = values.astype(np.float64)
    return np.round((exact - exact.min()) / (exact.max() - exact.min()) * 255)


def near(shown: np.ndarray[Any, Any], wanted: np.ndarray[Any, Any]) -> bool:
    """Equal but for rounding."""
    return bool(shown.shape == wanted.shape and np.abs(shown - wanted).max() <= 1)


@pytest.mark.parametrize("slope", ["-1", "-0.25", "-3"])
@pytest.mark.parametrize("function", [None, "LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_with_a_negative_slope_the_image_grows_with_the_modality_value(
    slope: str, function: str | None, photometric: str
) -> None:
    modality = GREY * float(slope) + 100
    tags = {"RescaleSlope": slope, "RescaleIntercept": "100", "WindowCenter": str(round(float(np.median(modality)), 2))}
    tags |= {"WindowWidth": "500", "PhotometricInterpretation": photometric}
    shown = decode(make(GREY, **tags, **({"VOILUTFunction": function} if function else {}))).astype(int)
    steps = np.diff(shown.ravel()[np.argsort(modality.ravel(), kind="stable")])
    assert (steps >= 0).all() if photometric == "MONOCHROME2" else (steps <= 0).all()
    assert (shown.min(), shown.max()) == (0, 255)


@pytest.mark.parametrize(
    "tags",
    [
        {"WindowCenter": "1000", "WindowWidth": "0"},
        {"WindowCenter": "1000", "WindowWidth": "-200"},
        {"WindowCenter": "1000", "WindowWidth": "0.5"},
        {"WindowCenter": "1000", "WindowWidth": ""},
        {"WindowCenter": "", "WindowWidth": "100"},
        {"WindowCenter": "1000"},
        {"WindowWidth": "100"},
        {"WindowCenter": "", "WindowWidth": ""},
        {"WindowCenter": "1000", "WindowWidth": "0", "VOILUTFunction": "SIGMOID"},
        {"RescaleSlope": "", "RescaleIntercept": ""},
        {"RescaleSlope": "1", "RescaleIntercept": ""},
        {"RescaleSlope": "", "RescaleIntercept": "-1024"},
        {"RescaleSlope": "0", "RescaleIntercept": "0"},
        {"VOILUTSequence": []},
        {"ModalityLUTSequence": []},
        {"VOILUTSequence": [pydicom.Dataset()]},
        {"ModalityLUTSequence": [pydicom.Dataset()]},
        {"PixelPaddingValue": None},
        {"PixelPaddingValue": 9999},
        {"NumberOfFrames": ""},
        {"PhotometricInterpretation": "MONOCHROME2 "},
        {"HighBit": 15},
        {"HighBit": 3},
        {"BitsStored": 0},
        {"BitsStored": 99},
        {"VOILUTFunction": ""},
    ],
    ids=str,
)
def test_what_says_nothing_changes_nothing(tags: dict[str, Any]) -> None:
    np.testing.assert_array_equal(decode(make(GREY, **tags)), spread(GREY))


@pytest.mark.parametrize("keyword", ["WindowCenter", "WindowWidth", "RescaleSlope", "NumberOfFrames"])
def test_what_is_no_number_says_nothing(keyword: str) -> None:
    tags = {"WindowCenter": "1234", "WindowWidth": "1234"} if keyword.startswith("Window") else {keyword: "1234"}
    data = make(GREY, **tags).replace(b"1234", b"4x?x")
    np.testing.assert_array_equal(decode(data), spread(GREY))


def test_of_several_windows_the_first_with_a_width_is_taken() -> None:
    one = decode(make(GREY, WindowCenter="1000", WindowWidth="400"))
    np.testing.assert_array_equal(decode(make(GREY, WindowCenter=["1000", "50"], WindowWidth=["400", "1"])), one)
    np.testing.assert_array_equal(decode(make(GREY, WindowCenter=["50", "1000"], WindowWidth=["0", "400"])), one)


def _item(name: str, **tags: Any) -> Any:
    """A group of an enhanced object that holds another one."""
    inner, outer = pydicom.Dataset(), pydicom.Dataset()
    inner.update(tags)
    setattr(outer, name, [inner])
    return outer


WINDOW = {"WindowCenter": "1000", "WindowWidth": "400"}
NEGATIVE = {"RescaleSlope": "-1", "RescaleIntercept": "4095"}
ALIKE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a window above all values": ({"WindowCenter": "20000", "WindowWidth": "100"}, {}),
    "a window below all values": ({"WindowCenter": "-600", "WindowWidth": "100"}, {}),
    "a second window that shows it": ({"WindowCenter": ["-600", "1000"], "WindowWidth": ["100", "400"]}, WINDOW),
    "a window beside all but the padding": (
        {"WindowCenter": "-646", "WindowWidth": "1300", "PixelPaddingValue": 0}, {"PixelPaddingValue": 0},
    ),
    "shared window": ({"SharedFunctionalGroupsSequence": ("FrameVOILUTSequence", WINDOW)}, WINDOW),
    "the frame's window": ({"PerFrameFunctionalGroupsSequence": ("FrameVOILUTSequence", WINDOW)}, WINDOW),
    "shared slope": ({"SharedFunctionalGroupsSequence": ("PixelValueTransformationSequence", NEGATIVE)}, NEGATIVE),
}  # fmt: skip


@pytest.mark.parametrize(("tags", "alike"), ALIKE.values(), ids=ALIKE)
def test_windows_that_show_nothing_are_ignored_and_those_of_groups_are_found(
    tags: dict[str, Any], alike: dict[str, Any]
) -> None:
    own = {key: [_item(value[0], **value[1])] if isinstance(value, tuple) else value for key, value in tags.items()}
    shown = decode(make(GREY, **own))
    np.testing.assert_array_equal(shown, decode(make(GREY, **alike)))
    assert np.ptp(shown) == 255


def test_a_window_on_nothing_but_padding_leaves_it_black() -> None:
    assert not decode(make(np.full((9, 9), 7, np.uint16), WindowCenter="7", WindowWidth="2", PixelPaddingValue=7)).any()


@pytest.mark.parametrize("tags", [{}, {"VOILUTFunction": "LINEAR_EXACT"}, {"VOILUTFunction": "SIGMOID"}], ids=str)
@pytest.mark.parametrize("scale", [{}, {"RescaleSlope": "2.5", "RescaleIntercept": "-1024"}], ids=str)
@settings(deadline=None, max_examples=40)
@given(centre=st.integers(-500, 4500), width=st.integers(1, 3000), photometric=st.sampled_from([1, 2]))
def test_files_in_order_look_to_the_last_bit_as_pydicom_shows_them(
    tags: dict[str, str], scale: dict[str, str], centre: int, width: int, photometric: int
) -> None:
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    data = make(GREY, WindowCenter=str(centre), WindowWidth=str(width), **tags, **scale,
                PhotometricInterpretation=f"MONOCHROME{photometric}")  # fmt: skip
    dataset = pydicom.dcmread(io.BytesIO(data))
    rescaled = np.asarray(apply_modality_lut(dataset.pixel_array, dataset), np.float64)
    values = np.asarray(apply_voi_lut(rescaled, dataset), np.float64)
    if np.ptp(values) * 255 < 4095 * float(scale.get("RescaleSlope", 1)):  # a window beside all values is ignored
        values = rescaled
    np.testing.assert_array_equal(decode(data), spread(-values if photometric == 1 else values))


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(
    ("pad", "tags"),
    [
        (65535, {"PixelPaddingValue": 65535, "BitsStored": 16, "HighBit": 15}),
        (65535, {"PixelPaddingValue": 65535}),  # in bits that are not used
        (0, {"PixelPaddingValue": 0}),
        (4095, {"PixelPaddingValue": 4000, "PixelPaddingRangeLimit": 4095}),
        (4090, {"PixelPaddingValue": 4095, "PixelPaddingRangeLimit": 4000}),
        (63536, {"PixelPaddingValue": -2000, "PixelRepresentation": 1, "BitsStored": 16, "HighBit": 15}),
        (63536, {"PixelPaddingValue": -2000, "PixelRepresentation": 1}),
        (33000, {"PixelPaddingValue": -32768, "PixelPaddingRangeLimit": -32000, "PixelRepresentation": 1,
                 "BitsStored": 16, "HighBit": 15}),
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("more", [{}, {"WindowCenter": "1500", "WindowWidth": "800"}, {"RescaleSlope": "-2"}], ids=str)
def test_padding_is_black_and_takes_no_part(
    pad: int, tags: dict[str, Any], photometric: str, more: dict[str, str]
) -> None:
    inside = (GREY % 1000 + 1000).astype(np.uint16)
    padded = inside.copy()
    padded[:, :10] = pad
    shown = decode(make(padded, **tags, **more, PhotometricInterpretation=photometric))
    bits = {name: value for name, value in tags.items() if "Padding" not in name}
    alone = decode(make(inside[:, 10:], **bits, **more, PhotometricInterpretation=photometric))
    assert not shown[:, :10].any()
    np.testing.assert_array_equal(shown[:, 10:], alone)


@pytest.mark.parametrize(("signed", "stated"), [(True, 63536), (True, -2000), (False, -2000), (False, 63536)])
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_padding_counts_modulo_its_bits(signed: bool, stated: int, syntax: str) -> None:
    padded = (GREY % 1000).astype(np.uint16)
    padded[:, :10] = 63536
    pad = ("SS" if stated < 0 else "US", stated)
    data = make(
        padded, syntax=syntax, BitsStored=16, HighBit=15, PixelRepresentation=int(signed), PixelPaddingValue=pad
    )
    shown = decode(data)
    assert not shown[:, :10].any()
    assert near(shown[:, 10:], spread(padded[:, 10:]))


def test_padding_of_floats_is_black_too() -> None:
    values = np.linspace(-1, 3, GREY.size).reshape(GREY.shape).astype(np.float32)
    values[:, :10] = np.nan
    shown = decode(make_float(values, FloatPixelPaddingValue=float("nan")))
    assert not shown[:, :10].any()
    assert near(shown[:, 10:], spread(values[:, 10:]))
    with pytest.raises(ImageError, match="not finite"):
        decode(make_float(values))


def make_float(values: np.ndarray[Any, Any], **tags: Any) -> bytes:
    """A file of floating-point pixels."""
    keyword = "FloatPixelData" if values.dtype == np.float32 else "DoubleFloatPixelData"
    bits = values.dtype.itemsize * 8
    dropped = dict.fromkeys(("PixelData", "BitsStored", "HighBit", "PixelRepresentation"))
    return make(GREY, BitsAllocated=bits, **dropped, **{keyword: values.tobytes()}, **tags)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("more", [{}, {"WindowCenter": "1", "WindowWidth": "2"}], ids=str)
def test_floating_point_pixels_are_shown(kind: type, more: dict[str, str]) -> None:
    values = np.linspace(-1, 3, GREY.size).reshape(GREY.shape).astype(kind)
    assert near(decode(make_float(values, **more)), spread(np.clip(values, 0, 1) if more else values))


@pytest.mark.parametrize("signed", [0, 1])
@pytest.mark.parametrize(("stored", "high"), [(12, 11), (12, 15), (10, 9), (16, 15), (12, 13), (9, 15)])
def test_only_the_bits_that_are_used_count(stored: int, high: int, signed: int) -> None:
    values = GREY.astype(np.int64) * (2**stored - 1) // GREY.max() - (2 ** (stored - 1) if signed else 0)
    shift = high + 1 - stored
    rubbish = np.random.default_rng(0).integers(0, 2**16, GREY.shape)
    used = (2**stored - 1) << shift
    pixels = (values << shift & used) | (rubbish & ~used & 0xFFFF)
    data = make(pixels.astype(np.uint16), BitsStored=stored, HighBit=high, PixelRepresentation=signed)
    np.testing.assert_array_equal(decode(data), spread(values))


@pytest.mark.parametrize("bits", [8, 16, 32])
@pytest.mark.parametrize("signed", [0, 1])
def test_all_depths_are_read(bits: int, signed: int) -> None:
    kind = np.dtype(f"{'i' if signed else 'u'}{bits // 8}")
    values = np.linspace(np.iinfo(kind).min, np.iinfo(kind).max, GREY.size).reshape(GREY.shape).astype(kind)
    tags = {"BitsAllocated": bits, "BitsStored": bits, "HighBit": bits - 1, "PixelRepresentation": signed}
    assert near(decode(make(GREY, **tags, PixelData=values.tobytes())), spread(values))


@pytest.mark.parametrize("depth", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("keyword", ["VOILUTSequence", "ModalityLUTSequence"])
def test_tables_of_all_depths_are_looked_up(keyword: str, wide: bool, depth: int) -> None:
    if not wide and depth > 8:
        pytest.skip("no room")
    entries = (np.arange(4096)[::-1] * (2**depth - 1) // 4095).astype(np.uint16)
    table = pydicom.Dataset()
    table.LUTDescriptor = [4096, 0, depth]
    table.add_new("LUTData", "OW", entries.astype(np.uint16 if wide else np.uint8).tobytes())
    assert near(decode(make(GREY, **{keyword: [table]})), spread(entries[GREY]))


def test_tables_may_begin_below_zero_and_end_before_the_values() -> None:
    table = pydicom.Dataset()
    table.add_new("LUTDescriptor", "US", [1000, 65536 - 500, 16])
    table.add_new("LUTData", "US", list(range(1000)))
    values = GREY.astype(np.int16) - 1000
    data = make(values.view(np.uint16), BitsStored=16, HighBit=15, PixelRepresentation=1, VOILUTSequence=[table])
    assert near(decode(data), spread(np.clip(values, -500, 499)))


@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize(
    ("stored", "photometric"), [(12, "RGB"), (16, "RGB"), (10, "RGB"), (12, "YBR_FULL"), (16, "YBR_FULL")]
)
def test_deep_colours_are_scaled_by_the_bits_that_are_used(stored: int, photometric: str, planar: int) -> None:
    values = (GREY.astype(np.int64) * (2**stored - 1) // GREY.max() // 2).astype(np.uint16)
    colours = (
        [values, values, values] if photometric == "RGB" else [values, *[np.full_like(values, 2 ** (stored - 1))] * 2]
    )
    pixels = np.stack(colours, axis=0 if planar else -1)
    tags = {"SamplesPerPixel": 3, "PhotometricInterpretation": photometric, "PlanarConfiguration": planar}
    data = make(GREY, **tags, BitsStored=stored, HighBit=stored - 1, PixelData=pixels.tobytes())
    assert near(decode(data), values / (2**stored - 1) * 255)


@pytest.mark.parametrize("photometric", ["YBR_FULL", "YBR_FULL_422"])
def test_colours_of_luminance_and_tint_are_grey_by_their_luminance(photometric: str) -> None:
    grey = (GREY // 10).astype(np.uint8)
    tint = np.full_like(grey, 128)
    whole = np.stack([grey, tint, tint], -1)
    half = np.stack([grey[:, ::2], grey[:, 1::2], tint[:, ::2], tint[:, 1::2]], -1)
    for pixels in (whole, half) if photometric == "YBR_FULL_422" else (whole,):  # the first one misstates itself
        data = make(GREY, SamplesPerPixel=3, PlanarConfiguration=0, PhotometricInterpretation=photometric,
                    BitsAllocated=8, BitsStored=8, HighBit=7, PixelData=pixels.tobytes())  # fmt: skip
        assert near(decode(data), grey.astype(float))


@pytest.mark.parametrize("deep", [True, False])
@pytest.mark.parametrize("entries", ["u1", "u2", "u2 that says 8 bits", "u2 of 8 bits that says 16"])
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_palettes_are_looked_up(entries: str, deep: bool, syntax: str) -> None:
    count = 2536 if deep else 256
    index = GREY if deep else (GREY // 10).astype(np.uint8)
    grey = np.random.default_rng(0).integers(0, 256, count)
    table = grey.astype(np.uint8) if entries == "u1" else (grey * (257 if entries == "u2" else 1)).astype(np.uint16)
    tags = {f"{name}Descriptor": [count, 0, 8 if entries in ("u1", "u2 that says 8 bits") else 16] for name in PALETTES}
    tags |= {f"{name}Data": table.tobytes() for name in PALETTES}
    bits = {"BitsAllocated": 16 if deep else 8, "BitsStored": 16 if deep else 8, "HighBit": 15 if deep else 7}
    data = make(
        GREY, syntax=syntax, PixelData=index.tobytes(), PhotometricInterpretation="PALETTE COLOR", **bits, **tags
    )
    assert near(decode(data), grey[index])


@pytest.mark.parametrize("depth", [8, 16])
def test_segmented_palettes_are_unfolded(depth: int) -> None:
    top = 2**depth - 1
    segments = np.array([0, 2, 0, 0, 1, 127, top // 2, 1, 127, top], f"u{depth // 8}")
    tags = {f"{name}Descriptor": [256, 0, depth] for name in PALETTES}
    tags |= {f"Segmented{name}Data": segments.tobytes() for name in PALETTES}
    index = (GREY // 10).astype(np.uint8)
    tags |= {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PhotometricInterpretation": "PALETTE COLOR"}
    data = make(GREY, PixelData=index.tobytes(), **tags)
    from pydicom.pixels import apply_color_lut

    dataset = pydicom.dcmread(io.BytesIO(data))
    assert near(decode(data), apply_color_lut(dataset.pixel_array, dataset)[..., 0] / top * 255)


@pytest.mark.parametrize(
    "tags", [{}, {f"Segmented{name}Data": b"\2\0\0\0\1\0\1\0" for name in PALETTES}], ids=["no table", "copies"]
)
def test_palettes_that_are_not_there_are_told(tags: dict[str, Any]) -> None:
    tags = tags | {f"{name}Descriptor": [256, 0, 16] for name in PALETTES}
    with pytest.raises(ImageError, match="its colours lie in a table, and the table is missing or damaged"):
        decode(make(GREY, PhotometricInterpretation="PALETTE COLOR", **tags))
