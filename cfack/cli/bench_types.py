"""Values on the command line of `cfack bench`: durations, shares, lists."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import click

_UNITS = {"s": 1, "m": 60, "h": 3600}


class Duration(click.ParamType[float]):
    """Seconds, written 90, 90s, 5m, 1h or 2m30s."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """See `click.ParamType`."""
        text = str(value)
        if re.fullmatch(r"\d+(\.\d+)?", text):
            seconds = float(text)
        elif re.fullmatch(r"(\d+(\.\d+)?[smh])+", text):
            parts = re.findall(r"([\d.]+)([smh])", text)
            seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
        else:
            self.fail(f"{text!r} is no duration; write 90s, 5m, 1h or 2m30s", param, ctx)
        if not seconds:
            self.fail("no time is left for anything; write for example 2m", param, ctx)
        return seconds


class Percent(click.ParamType[float]):
    """A share, written 5% or 0.05."""

    name = "percent"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """See `click.ParamType`."""
        found = re.fullmatch(r"(\d+(?:\.\d+)?)(%?)", str(value))
        if not found:
            self.fail(f"{value!r} is no share; write 5% or 0.05", param, ctx)
        share = float(found[1]) / (100 if found[2] else 1)
        if not found[2] and share >= 1:
            self.fail(f"{value!r} is {share:.0%}; write {value}% or a share below 1", param, ctx)
        return share


class Numbers(click.ParamType["tuple[float, ...]"]):
    """Positive numbers with commas between them."""

    name = "list"

    def __init__(self, kind: Callable[[str], float]) -> None:
        self._kind = kind

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        """See `click.ParamType`."""
        try:
            numbers = tuple(self._kind(part) for part in str(value).split(","))
        except ValueError:
            numbers = ()
        if not numbers or min(numbers) <= 0:
            self.fail(f"{value!r} is no list of positive numbers; write for example 1,8,32", param, ctx)
        return numbers


class Words(click.ParamType["tuple[str, ...]"]):
    """Names with commas between them."""

    name = "list"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """See `click.ParamType`."""
        if isinstance(value, tuple):
            return value
        words = tuple(part.strip() for part in str(value).split(","))
        if not all(words):
            self.fail(f"{value!r} is no list of names; write for example fp32,int8-cpu", param, ctx)
        return words
