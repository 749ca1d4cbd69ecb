import io
import struct
import subprocess
import sys
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from cfack_runtime.errors import DataError, ImageError, UsageError
from cfack_runtime.images import decode_image, list_images, load_image, resize_image


def encoded(image, kind="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def pattern(height=6, width=4):
    """Every pixel another colour."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 40, columns * 60, rows + columns], axis=2).astype(np.uint8)


def png_with_header(width, height):
    """A PNG whose header claims a size, with hardly any data behind it."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 100)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_a_png_comes_back_as_it_was_from_a_path_and_from_bytes(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(Image.fromarray(pattern())))
    for source in (path, str(path), path.read_bytes()):
        image = decode_image(source)
        assert image.mode == "RGB"
        assert np.array_equal(np.asarray(image), pattern())


@pytest.mark.parametrize(("kind", "options"), [("BMP", {}), ("WEBP", {"lossless": True}), ("JPEG", {})])
def test_the_other_kinds_are_read_too(kind, options):
    image = decode_image(encoded(Image.new("RGB", (16, 16), (200, 40, 60)), kind, **options))
    assert np.abs(np.asarray(image).astype(int) - (200, 40, 60)).max() <= 3


def test_other_kinds_are_refused_by_name():
    with pytest.raises(ImageError, match="not a JPEG, PNG, BMP or WebP image"):
        decode_image(encoded(Image.new("RGB", (4, 4)), "TIFF"))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_lying_on_its_side_is_put_upright(orientation):
    undo = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(undo[orientation](pattern())))
    assert np.array_equal(np.asarray(decode_image(encoded(stored, exif=exif))), pattern())


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_damaged_or_senseless_exif_block_leaves_the_image_as_it_lies():
    exif = Image.Exif()
    exif[0x0112] = 99
    assert decode_image(encoded(Image.new("RGB", (8, 4)), "JPEG", exif=exif)).size == (8, 4)
    damaged = encoded(Image.new("RGB", (8, 4)), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    assert decode_image(damaged).size == (8, 4)


def test_grey_and_black_and_white_become_rgb():
    assert decode_image(encoded(Image.new("L", (2, 2), 77))).getpixel((1, 1)) == (77, 77, 77)
    assert decode_image(encoded(Image.new("1", (2, 2), 1))).getpixel((1, 1)) == (255, 255, 255)


def test_16_bits_keep_their_upper_8():
    image = Image.fromarray(np.array([[0, 0x01FF, 0x80FF, 0xFFFF]], dtype=np.uint16))
    assert np.asarray(decode_image(encoded(image)))[0, :, 1].tolist() == [0, 1, 128, 255]


def test_cmyk_becomes_rgb():
    image = decode_image(encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG"))
    red, green, blue = image.getpixel((8, 8))
    assert red > 240
    assert max(green, blue) < 15


def test_transparency_is_dropped_and_the_colours_stay():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = decode_image(encoded(Image.new("RGBA", (2, 2), (10, 20, 30, 0))))
        assert image.getpixel((0, 0)) == (10, 20, 30)
        assert decode_image(encoded(Image.new("LA", (2, 2), (40, 0)))).getpixel((0, 0)) == (40, 40, 40)
        palette = Image.new("P", (2, 2), 1)
        palette.putpalette([0, 0, 0, 50, 60, 70])
        for transparency in (1, b"\xff\x00"):
            data = encoded(palette, transparency=transparency)
            assert decode_image(data).getpixel((0, 0)) == (50, 60, 70)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "WEBP"])
def test_a_truncated_file_is_an_error_that_names_it(tmp_path, kind):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = tmp_path / "half.jpg"
    data = encoded(Image.fromarray(noise), kind)
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError, match="half.jpg: "):
        decode_image(path)


@pytest.mark.parametrize(("width", "height"), [(30000, 30000), (11000, 11000), (80_000_000, 1), (1, 70_000)])
def test_an_image_that_would_fill_the_memory_is_refused_by_its_header(tmp_path, width, height):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_with_header(width, height))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageError, match="bomb.png: too large to decode safely"):
            decode_image(path)


@pytest.mark.parametrize("data", [b"", b"not an image at all", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_image_is_an_error_that_names_it(tmp_path, data):
    path = tmp_path / "x.jpg"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=r"x\.jpg: "):
        decode_image(path)


def test_a_folder_named_like_an_image_is_an_error_and_is_not_listed(tmp_path):
    folder = tmp_path / "x.jpg"
    folder.mkdir()
    with pytest.raises(ImageError, match=r"x\.jpg: is a folder"):
        decode_image(folder)
    assert list_images(tmp_path) == []


def test_a_missing_file_is_an_error_that_names_it(tmp_path):
    with pytest.raises(ImageError, match="gone.jpg: no such file"):
        decode_image(tmp_path / "gone.jpg")


def test_an_image_of_the_right_size_is_not_changed():
    assert np.array_equal(resize_image(Image.fromarray(pattern()), 6, 4), pattern())


def test_resizing_squashes_and_does_width_before_height():
    noise = Image.fromarray(np.random.default_rng(3).integers(0, 256, (50, 37, 3), dtype=np.uint8))
    bicubic = Image.Resampling.BICUBIC
    pixels = resize_image(noise, 24, 16)
    assert pixels.shape == (24, 16, 3)
    assert pixels.dtype == np.uint8
    width_first = noise.resize((16, 50), bicubic).resize((16, 24), bicubic)
    height_first = noise.resize((37, 24), bicubic).resize((16, 24), bicubic)
    assert np.array_equal(pixels, np.asarray(width_first))
    assert not np.array_equal(pixels, np.asarray(height_first))


def test_resized_pixels_can_be_written_to():
    resize_image(Image.fromarray(pattern()), 2, 2)[0, 0, 0] = 1


def test_a_row_is_shrunk_by_the_antialiased_cubic_worked_out_by_hand():
    # Half the width: the Keys cubic (a = -0.5) is stretched twofold, so that one bright pixel is
    # 0.25, 0.75, 1.25 or 1.75 away from the pixels around it. The weights add up to 2.
    row = np.full((1, 16, 3), 100, dtype=np.uint8)
    row[0, 7] = 200
    weights = {2: -0.0703125, 3: 0.8671875, 4: 0.2265625, 5: -0.0234375}
    expected = [round(100 + 100 * weights.get(column, 0) / 2) for column in range(8)]
    assert expected == [100, 100, 96, 143, 111, 99, 100, 100]
    assert resize_image(Image.fromarray(row), 1, 8)[0, :, 0].tolist() == expected


def test_only_rgb_is_resized():
    with pytest.raises(UsageError, match="got mode L"):
        resize_image(Image.new("L", (4, 4)), 2, 2)


def test_load_image_decodes_and_resizes(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(Image.fromarray(pattern())))
    assert np.array_equal(load_image(path, 6, 4), pattern())


def test_images_are_listed_in_order_from_all_folders(tmp_path):
    for name in (
        "b.JPG",
        "a/2.png",
        "a/10.jpeg",
        "a/.hidden.jpg",
        ".thumbs/1.jpg",
        "notes.txt",
        "c.webp",
        "d",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    found = [path.relative_to(tmp_path).as_posix() for path in list_images(tmp_path)]
    assert found == ["a/10.jpeg", "a/2.png", "b.JPG", "c.webp"]


def test_links_to_images_are_listed_and_links_to_folders_not_followed(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"")
    (tmp_path / "b.jpg").symlink_to(tmp_path / "a.jpg")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert [path.name for path in list_images(tmp_path)] == ["a.jpg", "b.jpg"]


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(DataError, match="gone: no such folder"):
        list_images(tmp_path / "gone")


def test_reading_an_image_does_not_change_pillow_for_others():
    code = (
        "from PIL import Image, ImageFile; before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES\n"
        "import cfack_runtime.images\n"
        "assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
