"""Opens what it is told to open, in a process of its own, and says what came of it.

One JSON object a line on stdin, {"bundle": path}; one a line on stdout. The address space is limited, so
that an attack that works hurts this process and not the machine.
"""

from __future__ import annotations

import contextlib
import json
import resource
import sys
import time
from pathlib import Path

from cfack_runtime.backends import open_backend
from cfack_runtime.bundle import Bundle
from cfack_runtime.errors import CfackError
from cfack_runtime.graph_contract import check_tensors
from cfack_runtime.precision import choose_precision

MOST_MEMORY = 4 << 30


def main() -> None:
    """Serve until stdin ends."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(attempt(json.loads(line)["bundle"])), flush=True)


def attempt(bundle: str) -> dict[str, object]:
    """Open a bundle with all of its graphs and look at how it ends."""
    before = start_measuring()
    wall, cpu = time.perf_counter(), time.process_time()
    kind, message = "", ""
    try:
        open_all(bundle)
    except CfackError as error:
        kind, message = type(error).__name__, str(error)
    except BaseException as error:
        kind, message = f"unnamed: {type(error).__name__}", str(error)
    return {
        "kind": kind,
        "message": message,
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
        "megabytes": (peak() - before) / 1e6,
    }


def open_all(path: str) -> None:
    """Load a bundle's graphs the way that every reader of bundles does."""
    bundle = Bundle.open(path, check_graphs=False)
    precision = choose_precision(bundle, "auto", "cpu")
    bundle.check_graphs(precision)
    for name, graph in bundle.graphs(precision).items():
        backend = open_backend(bundle.graph_path(precision, name), threads=1)
        check_tensors(backend.inputs, graph.inputs, f"{path}: {name}: inputs")
        check_tensors(backend.outputs, graph.outputs, f"{path}: {name}: outputs")
        backend.close()


def start_measuring() -> int:
    """Forget the peak, where the system can; return the memory in use, in bytes."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return peak()


def peak() -> int:
    """The most memory in use since `start_measuring`, in bytes."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    main()
