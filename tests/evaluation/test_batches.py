import numpy as np
import pytest
from PIL import Image

from cfack.evaluation.batches import pixel_batches
from cfack_runtime.errors import ImageError


@pytest.fixture
def paths(tmp_path):
    found = [tmp_path / f"{shade}.png" for shade in range(7)]
    for shade, path in enumerate(found):
        Image.new("RGB", (3, 5), (shade, shade, shade)).save(path)
    return found


def test_batches_come_in_the_order_asked_for(paths):
    batches = dict(pixel_batches(paths, [4, 0, 6], 3, 8, 2))
    assert list(batches) == [4, 0, 6]
    assert batches[0].shape == (3, 8, 2, 3)
    assert [pixels[0, 0, 0] for pixels in batches[0]] == [0, 1, 2]
    assert [pixels[0, 0, 0] for pixels in batches[4]] == [4, 5, 6]
    assert np.array_equal(batches[6], np.full((1, 8, 2, 3), 6, dtype=np.uint8))


def test_no_batches_are_asked_for(paths):
    assert list(pixel_batches(paths, [], 3, 8, 2)) == []


def test_a_damaged_image_stops_at_its_batch_and_is_named(paths):
    paths[5].write_bytes(b"")
    batches = pixel_batches(paths, [0, 3], 3, 8, 2)
    assert next(batches)[0] == 0
    with pytest.raises(ImageError, match=r"5\.png"):
        next(batches)


def test_only_a_few_batches_are_read_ahead(paths, monkeypatch):
    read = []
    monkeypatch.setattr(
        "cfack.evaluation.batches.load_image",
        lambda path, height, width: read.append(path) or np.zeros((height, width, 3), np.uint8),
    )
    batches = pixel_batches(paths, range(7), 1, 8, 2)
    next(batches)
    batches.close()
    assert len(read) <= 3
