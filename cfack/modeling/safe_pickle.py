"""Reading checkpoints that were written with pickle, without running what is in them."""

from __future__ import annotations

import argparse
import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cfack_runtime.errors import CheckpointError

# Beside torch's own list: what training scripts leave in a checkpoint next to the weights. None of these runs
# code when it is rebuilt. A scalar was pickled under either of two module names, by NumPy's version.
_SCALAR = np.float64(0).__reduce__()[0]
_HARMLESS: list[Any] = [
    argparse.Namespace,
    np.dtype,
    *{type(np.dtype(code)) for code in "?bhilqBHILQefd"},
    (_SCALAR, "numpy._core.multiarray.scalar"),
    (_SCALAR, "numpy.core.multiarray.scalar"),
]

_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")
"""How torch names what a pickle asked for."""


def load(path: str | Path) -> Any:
    """Load a file of `torch.save`, old or new format, onto the CPU.

    Only tensors, plain containers, numbers, text, NumPy scalars and `argparse.Namespace` are rebuilt.

    Raises:
        CheckpointError: no such file; truncated or no checkpoint; or a pickle that asks for any other Python
            object, whose name the message gives.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"no checkpoint file {path}" + (": it is a folder" if path.is_dir() else ""))
    try:
        with torch.serialization.safe_globals(_HARMLESS), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the format, which the user cannot change
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or hostile file makes torch raise whatever it likes
        raise CheckpointError(_explain(path, error)) from error


def _explain(path: Path, error: Exception) -> str:
    text = str(error)
    found = _GLOBAL.search(text)
    name = found[1] if found else next(iter(_strange_globals(path)), None)
    if name:
        return (
            f"{path} was refused: loading it would call {name}, and a checkpoint needs no code. "
            "Do not load it elsewhere unless you trust its author; if you do, save again what is needed: "
            'torch.save({"model": state_dict, "config": dict}, ...)'
        )
    # An unpickling error is torch's advice to allow code, a KeyError the byte that no pickle begins with.
    if isinstance(error, (KeyError, pickle.UnpicklingError)) or not text:
        reason = "it does not hold what torch.save writes by default (pickle protocol 2)"
    else:
        reason = text.splitlines()[0].split(". ")[0]
    return (
        f"{path} ({path.stat().st_size:,} bytes) is truncated or not a PyTorch checkpoint: {reason}\n"
        "Compare its size with the published one and download it again"
    )


def _strange_globals(path: Path) -> Iterator[str]:
    """Python objects that a pickle asks for and that torch's own loader would not know, without loading it.

    Needed for newer pickle protocols, which that loader rejects before it comes to a name.
    """
    texts: list[str] = []
    try:
        for operation, argument, _ in pickletools.genops(_pickle_bytes(path)):
            if operation.name == "GLOBAL":
                texts = str(argument).split(" ", 1)
            elif "UNICODE" in operation.name or "STRING" in operation.name:
                texts = [*texts[-1:], str(argument)]
            if operation.name in ("GLOBAL", "STACK_GLOBAL") and len(texts) == 2:
                name = ".".join(texts)
                if not name.startswith(("torch.", "collections.OrderedDict")):
                    yield name
    except Exception:  # not a pickle, or a damaged one: pickletools raises whatever it likes
        return


def _pickle_bytes(path: Path) -> bytes:
    if not zipfile.is_zipfile(path):
        return path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
        return archive.read(name)
