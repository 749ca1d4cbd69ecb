from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from cfack.config import AugmentConfig
from cfack.data.augmentations import rand_augment, uniform_augment
from cfack.data.erasing import draw_erased_box
from cfack.data.views import Pixels, cnn_view, eval_view, strong_view, weak_view
from cfack_runtime.images import resize_image

PLAIN = AugmentConfig(flip_probability=0.0, erasing_probability=0.0)


def noise(height: int = 96, width: int = 48, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def generators(count: int) -> list[np.random.Generator]:
    return [np.random.default_rng(seed) for seed in range(count)]


def test_the_evaluation_view_is_the_squashed_image() -> None:
    image = Image.fromarray(noise(200, 80))
    assert (eval_view(image, 96, 48) == resize_image(image, 96, 48)).all()


def test_the_weak_view_of_the_release_is_never_flipped() -> None:
    pixels = noise()
    assert all((weak_view(pixels, AugmentConfig(), rng) == pixels).all() for rng in generators(20))


def test_the_flipped_weak_view_is_mirrored_half_of_the_time() -> None:
    pixels = noise()
    augment = AugmentConfig(weak="flip")
    flipped = 0
    for rng in generators(200):
        view = weak_view(pixels, augment, rng)
        if (view == pixels[:, ::-1]).all():
            flipped += 1
        else:
            assert (view == pixels).all()
    assert 70 < flipped < 130


def test_the_strong_view_has_the_size_of_the_evaluation_view_and_leaves_it_as_it_is() -> None:
    pixels = noise()
    before = pixels.copy()
    views = [strong_view(pixels, None, AugmentConfig(), rng) for rng in generators(60)]
    assert {view.pixels.shape for view in views} == {(96, 48, 3)}
    assert (pixels == before).all()
    assert len({view.pixels.tobytes() for view in views}) > 20


def test_without_flip_and_erasing_some_strong_views_are_the_image_itself() -> None:
    """An operation is skipped with probability 0.5, and a tenth of them does nothing: 0.55 squared."""
    pixels = noise()
    same = [(strong_view(pixels, None, PLAIN, rng).pixels == pixels).all() for rng in generators(800)]
    # Stretching the contrast of noise that fills the range changes nothing either: 0.6 squared.
    assert abs(float(np.mean(same)) - 0.36) < 0.05


def test_uniform_augmentation_starts_from_the_original_image() -> None:
    original = Image.fromarray(noise(200, 80))
    pixels = resize_image(original, 96, 48)
    augment = replace(PLAIN, strong="uniform")
    views = [strong_view(pixels, original, augment, rng).pixels for rng in generators(120)]
    assert {view.shape for view in views} == {(96, 48, 3)}
    same = np.mean([(view == pixels).all() for view in views])
    assert 0.15 < same < 0.45  # both skipped: 0.25
    assert (np.asarray(original) == noise(200, 80)).all()


def test_a_translation_is_seven_of_384_pixels_whatever_the_size() -> None:
    def moved(height: int, width: int, count: int) -> set[tuple[int, int]]:
        pixels = noise(height, width)
        image = Image.fromarray(pixels)
        found = set()
        for rng in generators(count):
            view = np.asarray(rand_augment(image, rng))
            for right, down in ((7, 0), (0, 7), (1, 0), (0, 2)):
                if (view[down:, right:] == pixels[: height - down, : width - right]).all() and right + down:
                    found.add((right, down))
        return found

    assert moved(384, 384, 150) == {(7, 0), (0, 7)}
    assert moved(96, 48, 400) == {(1, 0), (0, 2)}


def test_brightness_and_sharpness_have_the_published_magnitude() -> None:
    grey = Image.new("RGB", (48, 96), (100, 100, 100))
    values = [np.unique(np.asarray(rand_augment(grey, rng))) for rng in generators(1500)]
    # Of what leaves a grey picture grey, only brightness changes it: once, or twice in a row.
    assert {int(grey[0]) for grey in values if len(grey) == 1} == {100, 136, 184}

    edge = np.zeros((96, 48, 3), dtype=np.uint8)
    edge[:, 24:] = 100
    views = [np.asarray(rand_augment(Image.fromarray(edge), rng)).astype(int) for rng in generators(300)]
    # The mean of a 3 x 3 neighbourhood that weighs its centre five times is 8 of 13 of the edge's height
    # away from nothing; sharpened by 0.36 of that: 100 + 0.36 * 100 * 3 / 13.
    assert {int(view[48, 24, 0]) for view in views} >= {100, 108, 136}


def test_every_uniform_operation_runs_on_any_image() -> None:
    for height, width in ((3, 2), (50, 20), (20, 50)):
        image = Image.fromarray(noise(height, width))
        sizes = {uniform_augment(image, rng).size for rng in generators(400)}
        assert sizes == {(width, height)}


def test_boxes_to_erase_have_the_published_shape() -> None:
    boxes = [draw_erased_box(384, 384, 0.6, rng) for rng in generators(2000)]
    drawn = [box for box in boxes if box is not None]
    assert abs(len(drawn) / 2000 - 0.6) < 0.04
    areas = np.array([box.height * box.width for box in drawn]) / 384**2
    aspects = np.array([box.height / box.width for box in drawn])
    assert 0.018 < areas.min() < 0.05
    assert 0.37 < areas.max() < 0.41
    assert 0.28 < aspects.min() < 0.5
    assert 3.0 < aspects.max() < 3.5
    assert np.median(aspects) > 1.4  # uniform; log-uniform would give 1
    assert all(box.top + box.height <= 384 and box.left + box.width <= 384 for box in drawn)
    assert any(box.top == 0 for box in drawn)


def test_boxes_of_a_narrow_view_are_squashed_with_it() -> None:
    for rng_square, rng_narrow in zip(generators(50), generators(50), strict=True):
        square, narrow = (draw_erased_box(384, w, 1.0, r) for w, r in ((384, rng_square), (96, rng_narrow)))
        assert square is not None
        assert narrow is not None
        assert narrow.height == square.height
        assert narrow.width == pytest.approx(square.width / 4, abs=0.6)


def test_erasing_can_be_left_out() -> None:
    assert all(draw_erased_box(96, 48, 0.0, rng) is None for rng in generators(50))
    assert all(draw_erased_box(96, 48, 1.0, rng) is not None for rng in generators(50))


def test_the_cnn_view_shows_the_whole_person() -> None:
    image = Image.fromarray(noise(384, 128))
    assert (cnn_view(image, 224, 224) == resize_image(image, 224, 224)).all()


def test_the_released_cnn_view_shows_29_percent_of_the_height() -> None:
    rows = np.repeat(np.arange(384, dtype=np.uint16)[:, None], 128, axis=1)
    image = Image.fromarray(np.stack([rows // 2, rows // 2, rows // 2], axis=2).astype(np.uint8))
    view = cnn_view(image, 224, 224, centre_crop=True)
    assert view.shape == (224, 224, 3)
    assert view[0, 0, 0] * 2 / 384 == pytest.approx(0.354, abs=0.01)
    assert view[-1, 0, 0] * 2 / 384 == pytest.approx(0.646, abs=0.01)


@pytest.mark.parametrize(("height", "width"), [(30, 200), (200, 30), (7, 5)])
def test_the_released_cnn_view_fits_any_image(height: int, width: int) -> None:
    image = Image.fromarray(noise(height, width))
    assert cnn_view(image, 64, 64, centre_crop=True).shape == (64, 64, 3)
    assert cnn_view(image, 96, 48, centre_crop=True).shape == (96, 48, 3)
