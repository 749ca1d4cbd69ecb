"""Benchmarks: how long a call takes, told with its spread."""

from cfack_bench.timing import Latency, measure

__all__ = ["Latency", "measure"]
