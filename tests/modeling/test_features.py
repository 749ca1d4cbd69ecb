import pytest
import torch

from cfack.modeling import normalize_pixels


def test_pixels_are_scaled_normalised_and_led_by_their_channel() -> None:
    pixels = torch.zeros(1, 2, 3, 3, dtype=torch.uint8)
    pixels[0, 1, 2] = torch.tensor([255, 51, 0])
    images = normalize_pixels(pixels)
    assert images.shape == (1, 3, 2, 3)
    assert images.dtype == torch.float32
    assert images[0, 0, 1, 2].item() == pytest.approx((1 - 0.48145466) / 0.26862954)
    assert images[0, 1, 1, 2].item() == pytest.approx((0.2 - 0.4578275) / 0.26130258)
    assert images[0, 2, 0, 0].item() == pytest.approx(-0.40821073 / 0.27577711)
