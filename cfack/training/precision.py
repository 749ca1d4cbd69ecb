"""Numeric precision of a forward pass: what autocast uses, and the loss scaling that fp16 needs."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from cfack_runtime.errors import ConfigError

_DTYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Precision:
    """A precision that was checked against its device."""

    name: str
    device_type: str

    def autocast(self) -> torch.autocast:
        """Context in which a forward pass runs; does nothing in fp32."""
        dtype = _DTYPES[self.name]
        return torch.autocast(self.device_type, dtype=dtype, enabled=dtype is not None)

    def scaler(self) -> torch.amp.GradScaler:
        """Loss scaling; passes everything through unless the precision is fp16."""
        return torch.amp.GradScaler(self.device_type, enabled=self.name == "fp16")


def choose_precision(asked: str, device: torch.device) -> Precision:
    """Settle `train.precision` on a device.

    Args:
        asked: "fp32", "bf16", "fp16", or "auto": bf16 on a GPU that has it, else fp16 on a GPU, else fp32.
        device: where the model runs.

    Raises:
        ConfigError: the device does not have what was asked.
    """
    on_gpu = device.type == "cuda"
    has_bf16 = on_gpu and torch.cuda.is_bf16_supported(including_emulation=False)
    if asked == "auto":
        asked = ("bf16" if has_bf16 else "fp16") if on_gpu else "fp32"
    if asked == "bf16" and on_gpu and not has_bf16:
        name = torch.cuda.get_device_name(device)
        raise ConfigError(f"train.precision: {name} has no bf16; use fp16 or auto")
    if asked == "fp16" and not on_gpu:
        raise ConfigError(f"train.precision: fp16 needs a GPU, this is {device}; use bf16, fp32 or auto")
    return Precision(asked, device.type)


def choose_device(asked: str, local_rank: int = 0) -> torch.device:
    """Settle a device by name and make it the current one.

    Args:
        asked: "auto" (a GPU where there is one), "cpu", "cuda" or "cuda:N".
        local_rank: this process's number on its machine; "auto" and "cuda" take the GPU of that number.

    Raises:
        ConfigError: no such device here.
    """
    if asked == "auto":
        asked = "cuda" if torch.cuda.is_available() else "cpu"
    if asked == "cuda":
        asked = f"cuda:{local_rank}"
    try:
        device = torch.device(asked)
    except RuntimeError as error:
        raise ConfigError(f'device: expected "auto", "cpu", "cuda" or "cuda:N", got "{asked}"') from error
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f'device: training runs on "cpu" and "cuda", got "{asked}"')
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise ConfigError(f"device: {asked} is not here, torch sees {count} GPU(s); use auto or cpu")
        torch.cuda.set_device(device)
    return device
