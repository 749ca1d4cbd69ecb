import time
from pathlib import Path
from typing import Any

import pytest

from cfack_runtime import sessions
from cfack_runtime.errors import BackendError
from cfack_runtime.retriever import Retriever


def test_a_graph_that_cannot_be_loaded_closes_those_beside_it(
    toy_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []
    closed: list[Path] = []
    real = sessions.open_backend

    def open_backend(path: Path, **options: Any) -> Any:
        if path.stem != "image_encoder":
            backend = real(path, **options)
            opened.append(path)
            monkeypatch.setattr(backend, "close", lambda: closed.append(path))
            return backend
        while len(opened) < 2:  # the others are there before it fails
            time.sleep(0.01)
        raise BackendError("image_encoder.onnx: no")

    monkeypatch.setattr(sessions, "open_backend", open_backend)
    with pytest.raises(BackendError, match=r"image_encoder\.onnx: no"):
        Retriever.open(toy_bundle)
    assert sorted(closed) == sorted(opened)
    assert {path.stem for path in opened} == {"text_encoder", "reranker"}
