"""What is checked before an engine is deserialised, and that nothing is deserialised when it fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cfack_runtime.backends.engine_checks import choose_engine
from cfack_runtime.backends.engine_gpu import Gpu
from cfack_runtime.backends.engine_library import load_library
from cfack_runtime.backends.engine_open import choose_engine_precision, open_engine, open_engines
from cfack_runtime.bundle import Bundle
from cfack_runtime.engine import ShapeRange
from cfack_runtime.engine_files import mark_verified
from cfack_runtime.errors import BackendError, BundleError, UsageError
from cfack_runtime.manifest_json import manifest_bytes

Add = Callable[..., Bundle]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (
            {"builder_version": "10.12.0.36"},
            "was built by tensorrt 10.12.0.36, but here is 10.13.2.6; run `cfack export --rebuild-engines",
        ),
        (
            {"builder_version": "10.14.0.1", "version_compatible": True},
            "was built by tensorrt 10.14.0.1, but here is 10.13.2.6; run",
        ),
        (
            {"builder_version": "9.3.0.1", "version_compatible": True},
            "was built by tensorrt 9.3.0.1, but here is 10.13.2.6; run",
        ),
        (
            {"compute_capability": "9.0"},
            "was built for compute capability 9.0 .NVIDIA Pretend only., but GPU 0 .NVIDIA Pretend. has 8.9",
        ),
        (
            {"compute_capability": "8.6", "compatibility": "same-compute-capability"},
            "was built for compute capability 8.6, but GPU 0 .NVIDIA Pretend. has 8.9; run",
        ),
        (
            {"gpu": "NVIDIA L4"},
            "was built on a NVIDIA L4 and for no other GPU, but GPU 0 is a NVIDIA Pretend; run",
        ),
        (
            {"verified": False},
            "was built without running it, so nobody knows whether it gives PyTorch's results; run `cfack",
        ),
    ],
)
def test_an_engine_that_may_not_run_here_is_named_with_its_remedy(
    add_engines: Add, tensorrt: Any, members: dict[str, Any], message: str
) -> None:
    bundle = add_engines(**members)
    with pytest.raises(BackendError, match=rf"engines/image_encoder-\w+\.engine: {message}"):
        open_engines(bundle, "fp32", "tensorrt")
    with pytest.raises(BackendError, match=message):
        open_engine(bundle, bundle.manifest.engines[0])
    assert tensorrt.deserialized == 0


@pytest.mark.parametrize(
    "members",
    [
        {"builder_version": "10.9.0.34", "version_compatible": True},
        {"compute_capability": "8.0", "gpu": "NVIDIA A100", "compatibility": "ampere+"},
        {"gpu": "NVIDIA L4", "compatibility": "same-compute-capability"},
    ],
)
def test_compatibility_lets_an_engine_travel(
    add_engines: Add, tensorrt: Any, members: dict[str, Any]
) -> None:
    for engine in open_engines(add_engines(**members), "fp32", "tensorrt").values():
        engine.close()
    assert tensorrt.deserialized == 3
    # A version-compatible engine brings code of its own; no other engine may.
    assert tensorrt.host_code_allowed is members.get("version_compatible", False)


def test_nothing_is_deserialised_before_its_hash_is_right(add_engines: Add, tensorrt: Any) -> None:
    bundle = add_engines()
    path = bundle.path / bundle.manifest.engines[0].file.path
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(BundleError, match="the file was damaged or exchanged, copy the bundle again"):
        open_engines(bundle, "fp32", "tensorrt")
    assert tensorrt.deserialized == 0
    path.unlink()
    with pytest.raises(BundleError, match="no such file"):
        open_engines(bundle, "fp32", "tensorrt")
    path.symlink_to("/dev/zero")
    with pytest.raises(BundleError, match="a symbolic link leads out of"):
        open_engines(bundle, "fp32", "tensorrt")
    assert tensorrt.deserialized == 0


def test_unverified_engines_run_when_asked_for_and_after_the_verdict(add_engines: Add, tensorrt: Any) -> None:
    bundle = add_engines(verified=False)
    for engine in open_engines(bundle, "fp32", "tensorrt", allow_unverified=True).values():
        engine.close()
    bundle = mark_verified(bundle, [entry.file.path for entry in bundle.manifest.engines])
    for engine in open_engines(bundle, "fp32", "tensorrt").values():
        engine.close()
    assert tensorrt.deserialized == 6
    with pytest.raises(BundleError, match="has no engine engines/other"):
        mark_verified(bundle, ["engines/other"])


def test_a_stripped_engine_gets_the_weights_of_its_own_onnx_file(add_engines: Add, tensorrt: Any) -> None:
    bundle = add_engines(stripped=True)
    entry = bundle.manifest.engines[1]
    open_engine(bundle, entry).close()
    assert tensorrt.refitted_with == entry.onnx_sha256
    tensorrt.refuses_weights = True
    with pytest.raises(
        BackendError, match="do not go into the engine: no reason given; build the engines again"
    ):
        open_engine(bundle, entry)


def test_what_the_library_says_is_passed_on(add_engines: Add, tensorrt: Any, memory: Any) -> None:
    tensorrt.refuses = "Error Code 1: Serialization\n (magic tag does not match)"
    with pytest.raises(
        BackendError, match=r"cannot load the engine: .*Serialization \(magic tag does not match\)"
    ):
        open_engines(add_engines(), "fp32", "tensorrt")
    assert memory.open_devices == 0


def test_profiles_that_are_not_the_engines_are_noticed(add_engines: Add, tensorrt: Any) -> None:
    bundle = add_engines()
    image = bundle.manifest.engines[0]
    wider = ({"pixels": ShapeRange((1, 12, 8, 3), (2, 12, 8, 3), (800, 12, 8, 3))},)
    engines = (replace(image, profiles=wider), *bundle.manifest.engines[1:])
    (bundle.path / "manifest.json").write_bytes(manifest_bytes(replace(bundle.manifest, engines=engines)))
    with pytest.raises(
        BackendError, match="profile 0 of pixels of the engine: .*the manifest says.*build the eng"
    ):
        open_engines(Bundle.open(bundle.path), "fp32", "tensorrt")


def test_a_graph_without_an_engine_is_an_error_and_no_detour(add_engines: Add, toy_bundle: Path) -> None:
    with pytest.raises(
        BackendError, match="holds no tensorrt engine of fp32 image_encoder; run `cfack export --reb"
    ):
        open_engines(Bundle.open(toy_bundle), "fp32", "tensorrt")
    with pytest.raises(
        BackendError, match="holds no tensorrt-rtx engine of fp32 image_encoder; run .*--tensorrt-rtx`"
    ):
        open_engines(add_engines(), "fp32", "tensorrt-rtx")


def test_engines_want_a_gpu(add_engines: Add) -> None:
    for device in ("cpu", "cuda:x", "gpu"):
        with pytest.raises(UsageError, match=f"engines run on a GPU: device is '{device}', expected"):
            open_engines(add_engines(), "fp32", "tensorrt", device=device)


def test_the_engine_of_exactly_this_gpu_is_preferred(add_engines: Add) -> None:
    add_engines(compute_capability="8.0", compatibility="ampere+")
    bundle = add_engines()
    assert len(bundle.manifest.engines) == 6
    arguments: dict[str, Any] = {"bundle": bundle.path, "version": "10.13.2.6"}
    engines = bundle.manifest.engines

    def choice(name: str, capability: str) -> str:
        gpu = Gpu(0, name, capability, "13.0")
        return choose_engine(engines, "fp32", "reranker", "tensorrt", gpu=gpu, **arguments).compatibility

    assert choice("NVIDIA Pretend", "8.9") == "none"
    assert choice("NVIDIA Other", "9.0") == "ampere+"
    with pytest.raises(
        BackendError, match=r"8\.0 and newer, but GPU 0 .* has 7\.5; run .*; .*8\.9 \(NVIDIA Pre"
    ):
        choice("NVIDIA T4", "7.5")


def test_the_best_precision_is_one_that_passed_and_has_engines(add_engines: Add, toy_bundle: Path) -> None:
    assert choose_engine_precision(add_engines(), "tensorrt") == "fp32"
    with pytest.raises(
        BundleError, match="holds no tensorrt-rtx engine of a precision that gave PyTorch's results"
    ):
        choose_engine_precision(Bundle.open(toy_bundle), "tensorrt-rtx")


def test_a_library_that_is_not_here_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tensorrt", None)
    with pytest.raises(BackendError, match=r"tensorrt cannot be imported .*pip install 'cfack\[tensorrt\]'"):
        load_library("tensorrt")
    with pytest.raises(UsageError, match="'onnx' makes no engines, expected tensorrt or tensorrt-rtx"):
        load_library("onnx")
