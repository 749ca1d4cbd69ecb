"""The process of `tests/runtime/hostile`, with libcfack in the place of the Python runtime."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

sys.path.insert(0, str(Path(__file__).parent))
import capi

_NAMES = {-4: "BundleError", -7: "BackendError"}


def _python_victim() -> ModuleType:
    path = Path(__file__).parents[1] / "runtime" / "hostile" / "victim.py"
    spec = importlib.util.spec_from_file_location("victim", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Answer as `victim.py` does, with errors under the names that they have in Python."""
    victim, library = _python_victim(), capi.Library()

    def open_all(path: str) -> None:
        try:
            bundle = library.open("bundle", Path(path), threads=1)
        except capi.LibraryError as error:
            name = _NAMES.get(error.code, f"code {error.code}")
            raise type(name, (victim.CfackError,), {})(str(error)) from error
        library.c.cfack_bundle_free(bundle)

    victim.open_all = open_all
    victim.main()


if __name__ == "__main__":
    main()
