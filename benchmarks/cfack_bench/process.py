"""The parent's side of a worker process."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
from types import TracebackType
from typing import Any

from cfack_runtime.errors import BackendError, CfackError

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_LAST_WORDS = 400


class CandidateError(CfackError):
    """A candidate cannot do what was asked; the others go on."""


class WorkerProcess:
    """A worker, started; use it in a `with` block, or `close` it.

    Args:
        threads: CPU threads of every library in it.
        module: what runs in it.
    """

    def __init__(self, threads: int, module: str = "cfack_bench.worker") -> None:
        environment = {**os.environ, **dict.fromkeys(_THREAD_VARIABLES, str(threads))}
        environment["TOKENIZERS_PARALLELISM"] = "false"
        environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # the order of nvidia-smi, which is asked about them
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the process
        # A session of its own: Ctrl-C is for the parent, which then ends its workers in order.
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment,
            text=True,
            start_new_session=True,
        )

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def ask(self, do: str, *, timeout: float | None = None, **request: Any) -> dict[str, Any]:
        """Have the worker do something and wait for its answer.

        Args:
            do: name of a method of `Worker`.
            timeout: seconds to wait; a worker that takes longer is ended.
            request: what the method gets.

        Raises:
            CandidateError: it could not; the message is the worker's.
            BackendError: the process died, or took longer than `timeout`.
        """
        assert self._process.stdin is not None  # both are pipes
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **request}, default=str) + "\n")
            self._process.stdin.flush()
            # An answer is one line, so that nothing of the next waits in the buffer.
            if timeout is not None and not select.select([self._process.stdout], [], [], timeout)[0]:
                self._process.kill()
                raise BackendError(f"it did not {do} within {timeout:.0f} s, all that the budget leaves it")
            line = self._process.stdout.readline()
        except OSError:
            line = ""
        if not line:
            raise BackendError(f"its process ended ({self._process.wait()}): {self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise CandidateError(answer["error"])
        return answer

    def close(self) -> None:
        """End the process, at once if it does not end by itself."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # it is gone already
                    pipe.close()
        try:
            self._process.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def _last_words(self) -> str:
        self._log.seek(0)
        text = self._log.read().decode(errors="replace").strip()
        return text[-_LAST_WORDS:] or "it said nothing"
