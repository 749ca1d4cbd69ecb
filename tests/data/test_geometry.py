import numpy as np
import pytest
from PIL import Image

from cfack.data.geometry import GREY, rotate, shear_x, shear_y, translate


def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 20, 3), dtype=np.uint8))


def test_a_translation_by_whole_pixels_moves_pixels_and_fills_with_grey() -> None:
    before = np.asarray(picture())
    after = np.asarray(translate(picture(), 3, 0))
    assert (after[:, 3:] == before[:, :-3]).all()
    assert (after[:, :3] == GREY).all()
    after = np.asarray(translate(picture(), 0, -5))
    assert (after[:-5] == before[5:]).all()
    assert (after[-5:] == GREY).all()


def test_shears_leave_the_top_or_the_left_in_place() -> None:
    stripe = np.full((40, 20, 3), 255, dtype=np.uint8)
    stripe[:, 10] = 0
    sheared = np.asarray(shear_x(Image.fromarray(stripe), -0.2))[:, :, 0]
    assert sheared[0].argmin() == 10
    assert sheared[35].argmin() == 10 + 7  # 0.2 * 35
    level = np.full((20, 40, 3), 255, dtype=np.uint8)
    level[5] = 0
    sheared = np.asarray(shear_y(Image.fromarray(level), -0.2))[:, :, 0]
    assert sheared[:, 0].argmin() == 5
    assert sheared[:, 35].argmin() == 5 + 7


def test_a_rotation_by_zero_changes_nothing_and_by_180_turns_upside_down() -> None:
    before = np.asarray(picture())
    assert (np.asarray(rotate(picture(), 0)) == before).all()
    turned = np.asarray(rotate(picture(), 180)).astype(int)
    assert np.abs(turned - before[::-1, ::-1])[1:-1, 1:-1].max() <= 1


def test_a_rotation_is_to_the_left() -> None:
    dot = np.zeros((41, 41, 3), dtype=np.uint8)
    dot[20, 35] = 255  # right of the centre
    turned = np.asarray(rotate(Image.fromarray(dot), 90))[:, :, 0]
    assert divmod(int(turned.argmax()), 41) == (5, 20)  # above it


@pytest.mark.parametrize("degrees", [-21.0, 12.5])
def test_a_stretched_rotation_is_the_squashed_rotation_of_the_square_picture(degrees: float) -> None:
    y, x = np.mgrid[0:128, 0:128]
    smooth = np.stack([x, y, (x + y) // 2], axis=2).astype(np.uint8) + 60
    square = Image.fromarray(smooth)
    narrow = square.resize((64, 128), Image.Resampling.BILINEAR)
    expected = np.asarray(rotate(square, degrees).resize((64, 128), Image.Resampling.BILINEAR)).astype(int)
    found = np.asarray(rotate(narrow, degrees, stretch=0.5)).astype(int)
    inside = np.s_[32:96, 16:48]
    assert np.abs(found - expected)[inside].max() <= 3
