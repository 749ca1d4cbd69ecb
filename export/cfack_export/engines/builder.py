"""One engine: a network, its profiles, the settings, and the library's answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cfack_export.engines.network import parse_onnx
from cfack_export.engines.options import EngineOptions
from cfack_export.engines.targets import PORTABLE, EngineTarget
from cfack_export.engines.timing_cache import attach_timing_cache, save_timing_cache
from cfack_runtime.backends.engine_library import EngineLibrary, LibraryLog
from cfack_runtime.engine import Profile
from cfack_runtime.errors import BackendError, CfackError
from cfack_runtime.progress import ProgressCallback, no_progress

_COMPATIBILITY_LEVELS = {"ampere+": "AMPERE_PLUS", "same-compute-capability": "SAME_COMPUTE_CAPABILITY"}


def build_engine(
    library: EngineLibrary,
    onnx: Path,
    profiles: Sequence[Profile],
    target: EngineTarget,
    options: EngineOptions,
    *,
    progress: ProgressCallback = no_progress,
) -> bytes:
    """Build an engine from an ONNX file.

    Args:
        library: see `load_library`.
        onnx: the file; precision is what it says and nothing else (TensorFloat-32 is switched off).
        profiles: shapes that the engine will take.
        target: what it will run on.
        options: the rest.
        progress: told the steps of the library's outermost phase.

    Returns:
        The serialised engine.

    Raises:
        BackendError: the library refuses the graph, the profiles or the settings; with its own words.
        BundleError: the ONNX file refers to other files.
    """
    log = LibraryLog()
    logger = log.attach(library)
    builder = library.module.Builder(logger)
    network = parse_onnx(library, builder, log, logger, onnx)
    config = builder.create_builder_config()
    _add_profiles(library, builder, config, network, profiles, onnx)
    _configure(library, config, target, options)
    cache = attach_timing_cache(config, options.timing_cache)
    monitor = _monitor(library.module, progress)
    config.progress_monitor = monitor
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise _refusal(library, onnx, target, options, log)
    if cache is not None and options.timing_cache is not None:
        save_timing_cache(cache, options.timing_cache)
    return bytes(plan)


def _add_profiles(
    library: EngineLibrary,
    builder: Any,
    config: Any,
    network: Any,
    profiles: Sequence[Profile],
    onnx: Path,
) -> None:
    inputs = {network.get_input(index).name for index in range(network.num_inputs)}
    for number, shapes in enumerate(profiles):
        if shapes.keys() != inputs:
            raise BackendError(
                f"{onnx}: profile {number} has shapes of {', '.join(sorted(shapes))}, but the graph takes "
                f"{', '.join(sorted(inputs))}"
            )
        profile = builder.create_optimization_profile()
        for name, shape in shapes.items():
            profile.set_shape(name, shape.min, shape.opt, shape.max)
        if config.add_optimization_profile(profile) < 0:
            raise BackendError(f"{onnx}: {library.name} refuses profile {number}: {dict(shapes)}")


def _configure(library: EngineLibrary, config: Any, target: EngineTarget, options: EngineOptions) -> None:
    module, flags = library.module, library.module.BuilderFlag
    # On by default, and it rounds FP32 products to 10 bits: not what the file says.
    config.clear_flag(flags.TF32)
    if options.strip_weights:
        config.set_flag(flags.STRIP_PLAN)
        config.set_flag(flags.REFIT_IDENTICAL)
    if options.version_compatible:
        config.set_flag(flags.VERSION_COMPATIBLE)
    if options.workspace is not None:
        config.set_memory_pool_limit(module.MemoryPoolType.WORKSPACE, options.workspace)
    if options.optimization_level is not None:
        config.builder_optimization_level = options.optimization_level
    if options.compatibility in _COMPATIBILITY_LEVELS:
        level = _COMPATIBILITY_LEVELS[options.compatibility]
        config.hardware_compatibility_level = getattr(module.HardwareCompatibilityLevel, level)
    if not target.gpu and target.compatibility != PORTABLE:
        config.num_compute_capabilities = 1
        if not config.set_compute_capability(library.targets[target.compute_capability], 0):
            raise BackendError(f"{library.name} refuses the target {target.compute_capability}")


def _monitor(module: Any, progress: ProgressCallback) -> Any:
    """Report the steps of the phase that has no parent; an exception in it ends the build."""
    base = module.IProgressMonitor

    class _Monitor(base):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            base.__init__(self)
            self._phases: dict[str, int] = {}

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            if parent is None:
                self._phases[phase] = steps
                progress(0, steps)

        def step_complete(self, phase: str, step: int) -> bool:
            if phase in self._phases:
                progress(step + 1, self._phases[phase])
            return True

        def phase_finish(self, phase: str) -> None:
            steps = self._phases.pop(phase, None)
            if steps is not None:
                progress(steps, steps)

    return _Monitor()


def _refusal(
    library: EngineLibrary, onnx: Path, target: EngineTarget, options: EngineOptions, log: LibraryLog
) -> CfackError:
    remedy = ""
    if options.strip_weights and not target.gpu:
        remedy = "; leaving the weights out needs a GPU with this library, build with them"
    elif options.workspace is not None:
        remedy = f"; the workspace is limited to {options.workspace} bytes, allow more"
    return BackendError(
        f"{onnx}: {library.name} {library.version} cannot build an engine for compute capability "
        f"{target.compute_capability}: {log.errors or 'no reason given'}{remedy}"
    )
