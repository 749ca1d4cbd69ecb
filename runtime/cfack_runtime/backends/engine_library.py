"""TensorRT and TensorRT-RTX: two libraries with one API, and what each is asked before it is used.

Nothing here imports either when this module is imported, and neither is ever used in the place of the
other: an engine of one is noise to the other.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import re
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from cfack_runtime.engine import TENSORRT, TENSORRT_RTX
from cfack_runtime.errors import BackendError, UsageError

_MODULES = {TENSORRT: "tensorrt", TENSORRT_RTX: "tensorrt_rtx_bindings"}
_REMEDIES = {
    TENSORRT: "install it with `pip install 'cfack[tensorrt]'`",
    TENSORRT_RTX: "install it with `pip install 'cfack[tensorrt-rtx]'`",
}
_TARGET = re.compile(r"SM(\d+)(\d)")
_KEPT_MESSAGES = 50

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EngineLibrary:
    """One of the two libraries, imported."""

    name: str
    """"tensorrt" or "tensorrt-rtx"."""
    module: ModuleType

    @property
    def version(self) -> str:
        """As the library writes it, for example "10.13.2.6"."""
        return str(self.module.__version__)

    @property
    def builds_without_gpu(self) -> bool:
        """Whether it takes a target by name instead of the GPU that is there."""
        return hasattr(self.module, "ComputeCapability")

    @property
    def targets(self) -> dict[str, Any]:
        """Compute capability, for example "8.9" -> the library's own constant; empty if it takes none."""
        if not self.builds_without_gpu:
            return {}
        members = self.module.ComputeCapability.__members__
        found = {name: _TARGET.fullmatch(name) for name in members}
        return {f"{match[1]}.{match[2]}": members[name] for name, match in found.items() if match}


def load_library(name: str) -> EngineLibrary:
    """Import the library that builds and loads engines of one kind.

    Args:
        name: "tensorrt" or "tensorrt-rtx".

    Raises:
        UsageError: another name.
        BackendError: it cannot be imported.
    """
    if name not in _MODULES:
        raise UsageError(f"{name[:80]!r} makes no engines, expected {' or '.join(_MODULES)}")
    try:
        return EngineLibrary(name, importlib.import_module(_MODULES[name]))
    except (ImportError, OSError, RuntimeError) as error:  # a shared library that is missing, or too new
        raise BackendError(
            f"{name} cannot be imported ({_first_line(error)}); {library_remedy(name)}"
        ) from error


def library_installed(name: str) -> bool:
    """Whether the Python package is there; it may still fail to import."""
    return importlib.util.find_spec(_MODULES[name]) is not None


def library_remedy(name: str) -> str:
    """What to do to have it."""
    return _REMEDIES[name]


class LibraryLog:
    """What a library says while it works: kept for the error that may follow, and passed to `logging`.

    The library wants an object of its own class; `attach` makes one.
    """

    def __init__(self) -> None:
        self._errors: list[str] = []

    @property
    def errors(self) -> str:
        """The errors so far, in one line; empty if there was none."""
        return "; ".join(self._errors)

    def attach(self, library: EngineLibrary) -> Any:
        """Make the library's own kind of logger, which reports here. It must live as long as what uses it."""
        severity = library.module.ILogger.Severity
        levels = {
            int(severity.INTERNAL_ERROR): logging.ERROR,
            int(severity.ERROR): logging.ERROR,
            int(severity.WARNING): logging.DEBUG,  # it warns of what is as it should be, at every build
        }
        base = library.module.ILogger
        log = self

        class _Logger(base):  # type: ignore[misc, valid-type]
            def __init__(self) -> None:
                base.__init__(self)

            def log(self, severity: Any, message: str) -> None:
                log._note(levels.get(int(severity)), message)

        return _Logger()

    def clear(self) -> None:
        """Forget what was said."""
        self._errors.clear()

    def _note(self, level: int | None, message: str) -> None:
        if level == logging.ERROR and len(self._errors) < _KEPT_MESSAGES:
            self._errors.append(" ".join(message.split()))
        if level is not None:
            _logger.debug("%s", message)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
