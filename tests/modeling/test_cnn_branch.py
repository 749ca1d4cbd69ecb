from dataclasses import replace

import pytest
import torch

from cfack.config import CnnConfig, ModelConfig
from cfack.modeling import build_model
from cfack.modeling.cnn_branch import CnnBranch


def branch(config: ModelConfig, name: str, head: str, size: tuple[int, int] = (48, 32)) -> CnnBranch:
    cnn = CnnConfig(name=name, head=head, image_height=size[0], image_width=size[1], pretrained=False)
    built = build_model(replace(config, cnn=cnn)).eval().cnn_branch
    assert built is not None
    return built


@pytest.mark.parametrize("name", ["test_convnext", "test_resnet", "mobilenetv3_small_050"])
@torch.no_grad()
def test_a_linear_layer_follows_the_pooled_trunk(small_config: ModelConfig, name: str) -> None:
    cnn = branch(small_config, name, "linear")
    assert cnn.projection is not None
    views = torch.randn(2, 3, 48, 32)
    embedding = cnn(views)
    assert embedding.shape == (2, 8)
    torch.testing.assert_close(embedding, cnn.projection(cnn.trunk(views)))


@torch.no_grad()
def test_the_classifier_of_timm_can_give_the_embedding(small_config: ModelConfig) -> None:
    cnn = branch(small_config, "test_resnet", "timm")
    assert cnn.projection is None
    assert cnn(torch.randn(2, 3, 48, 32)).shape == (2, 8)


@torch.no_grad()
def test_a_transformer_of_timm_is_built_for_the_size_of_the_views(small_config: ModelConfig) -> None:
    assert branch(small_config, "test_vit", "linear", (64, 32))(torch.randn(1, 3, 64, 32)).shape == (1, 8)
