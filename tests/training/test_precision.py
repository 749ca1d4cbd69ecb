import pytest
import torch

from cfack.training.precision import choose_device, choose_precision
from cfack_runtime.errors import ConfigError

CPU = torch.device("cpu")


def test_auto_is_fp32_on_a_cpu() -> None:
    precision = choose_precision("auto", CPU)

    assert precision.name == "fp32"
    with precision.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_bf16_autocasts_matrix_products() -> None:
    with choose_precision("bf16", CPU).autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16


def test_only_fp16_scales_the_loss() -> None:
    assert not choose_precision("bf16", CPU).scaler().is_enabled()
    assert choose_precision("bf16", CPU).scaler().scale(torch.tensor(2.0)).item() == 2.0


def test_fp16_on_a_cpu_is_refused_with_what_to_use() -> None:
    with pytest.raises(ConfigError, match="fp16 needs a GPU, this is cpu; use bf16, fp32 or auto"):
        choose_precision("fp16", CPU)


@pytest.mark.parametrize(("has_bf16", "expected"), [(True, "bf16"), (False, "fp16")])
def test_auto_on_a_gpu_prefers_bf16(monkeypatch: pytest.MonkeyPatch, has_bf16: bool, expected: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_bf16)

    assert choose_precision("auto", torch.device("cuda", 0)).name == expected


def test_auto_takes_the_cpu_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    assert choose_device("auto") == CPU


def test_a_gpu_that_is_not_here_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    with pytest.raises(ConfigError, match=r"cuda:0 is not here, torch sees 0 GPU\(s\); use auto or cpu"):
        choose_device("cuda")


@pytest.mark.parametrize("asked", ["gpu", "meta"])
def test_a_name_that_is_no_training_device_is_refused(asked: str) -> None:
    with pytest.raises(ConfigError, match=f'device: .*got "{asked}"'):
        choose_device(asked)
