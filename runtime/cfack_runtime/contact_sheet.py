"""Search results as one picture: a row per query, its best images side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from cfack_runtime.errors import ImageError, UsageError
from cfack_runtime.images import decode_image

_TILE = (132, 330)  # a pedestrian crop is two to three times as high as wide
_GAP = 14
_MARGIN = 28
_FRAME = 5
_BADGE = 26
_MIN_WIDTH = 560  # below it a sentence would be wrapped into a column
_MAX_LINES = 5
_MAX_LETTERS = 2_000

_PAPER = "#ffffff"
_INK = "#1b1f24"
_QUIET = "#6b7280"
_RULE = "#e3e6ea"
_TILE_PAPER = "#eceff2"
_RIGHT = "#1a9850"
_WRONG = "#d73027"

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class SheetHit:
    """One image of a row."""

    image: str | Path | Image.Image
    score: float | None = None
    """Printed below the image."""
    correct: bool | None = None
    """Green frame and tick, red frame and cross, or neither where the answer is not known."""


@dataclass(frozen=True)
class SheetRow:
    """One query and its hits, best first."""

    query: str
    hits: Sequence[SheetHit]


def render_contact_sheet(rows: Sequence[SheetRow], title: str = "") -> Image.Image:
    """Draw queries with their hits below them.

    Images keep their aspect. One that cannot be read becomes an empty tile that says so, since the rest
    of the sheet is still worth having.

    Args:
        rows: at least one query.
        title: a heading; nothing if empty.

    Returns:
        An RGB image, as wide as the longest row needs.

    Raises:
        UsageError: there are no rows.
    """
    if not rows:
        raise UsageError("a contact sheet needs at least one query")
    longest = max(len(row.hits) for row in rows)
    width = max(2 * _MARGIN + longest * (_TILE[0] + _GAP) - _GAP, _MIN_WIDTH)
    parts = [_draw_title(title, width)] if title else []
    for place, row in enumerate(rows):
        if place:
            parts.append(_draw_rule(width))
        parts.append(_draw_row(row, width))
    sheet = Image.new("RGB", (width, 2 * _MARGIN + sum(part.height for part in parts)), _PAPER)
    top = _MARGIN
    for part in parts:
        sheet.paste(part, (0, top))
        top += part.height
    return sheet


def _draw_title(title: str, width: int) -> Image.Image:
    font = ImageFont.load_default(26)
    lines = _wrap(title, font, width - 2 * _MARGIN)
    part = Image.new("RGB", (width, 34 * len(lines) + 14), _PAPER)
    _write_lines(ImageDraw.Draw(part), lines, font, 0, 34, _INK)
    return part


def _draw_rule(width: int) -> Image.Image:
    part = Image.new("RGB", (width, 37), _PAPER)
    ImageDraw.Draw(part).line((_MARGIN, 16, width - _MARGIN, 16), fill=_RULE, width=1)
    return part


def _draw_row(row: SheetRow, width: int) -> Image.Image:
    font = ImageFont.load_default(20)
    lines = _wrap(row.query, font, width - 2 * _MARGIN)
    text_height = 28 * len(lines) + 10
    part = Image.new("RGB", (width, text_height + (_TILE[1] if row.hits else 0) + 30), _PAPER)
    draw = ImageDraw.Draw(part)
    _write_lines(draw, lines, font, 0, 28, _INK)
    if not row.hits:
        draw.text((_MARGIN, text_height), "no image found", fill=_QUIET, font=ImageFont.load_default(16))
    for place, hit in enumerate(row.hits):
        left = _MARGIN + place * (_TILE[0] + _GAP)
        part.paste(_draw_tile(hit), (left, text_height))
        _write_label(draw, place + 1, hit.score, left, text_height + _TILE[1] + 7)
    return part


def _draw_tile(hit: SheetHit) -> Image.Image:
    tile = Image.new("RGB", _TILE, _TILE_PAPER)
    draw = ImageDraw.Draw(tile)
    try:
        image = hit.image if isinstance(hit.image, Image.Image) else decode_image(hit.image)
    except ImageError:
        font = ImageFont.load_default(15)
        draw.text((_TILE[0] / 2, _TILE[1] / 2), "not readable", fill=_QUIET, font=font, anchor="mm")
    else:
        scale = min(_TILE[0] / image.width, _TILE[1] / image.height)
        size = (max(round(image.width * scale), 1), max(round(image.height * scale), 1))
        fitted = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
        tile.paste(fitted, ((_TILE[0] - size[0]) // 2, (_TILE[1] - size[1]) // 2))
    if hit.correct is not None:
        color = _RIGHT if hit.correct else _WRONG
        draw.rectangle((0, 0, _TILE[0] - 1, _TILE[1] - 1), outline=color, width=_FRAME)
        badge = _draw_badge(hit.correct)
        tile.paste(badge, (_TILE[0] - _BADGE - 9, 9), badge)
    return tile


def _draw_badge(correct: bool) -> Image.Image:
    """A tick or a cross on a disc, so that the frame's colour is not the only sign."""
    scale = 4  # drawn large and shrunk: Pillow's lines have hard edges
    side = _BADGE * scale
    badge = Image.new("RGBA", (side, side))
    draw = ImageDraw.Draw(badge)
    draw.ellipse((0, 0, side - 1, side - 1), fill=_RIGHT if correct else _WRONG)
    tick = [[(0.27, 0.53), (0.44, 0.69), (0.74, 0.35)]]
    cross = [[(0.33, 0.33), (0.67, 0.67)], [(0.67, 0.33), (0.33, 0.67)]]
    for stroke in tick if correct else cross:
        points = [(x * side, y * side) for x, y in stroke]
        draw.line(points, fill="white", width=3 * scale, joint="curve")
    return badge.resize((_BADGE, _BADGE), Image.Resampling.LANCZOS)


def _write_label(draw: ImageDraw.ImageDraw, rank: int, score: float | None, left: int, top: int) -> None:
    font = ImageFont.load_default(16)
    draw.text((left, top), f"{rank}", fill=_QUIET, font=font)
    if score is not None:
        label = f"{score:.3f}"
        draw.text((left + _TILE[0] - font.getlength(label), top), label, fill=_INK, font=font)


def _write_lines(
    draw: ImageDraw.ImageDraw, lines: Sequence[str], font: _Font, top: int, step: int, color: str
) -> None:
    for line in lines:
        draw.text((_MARGIN, top), line, fill=color, font=font)
        top += step


def _wrap(text: str, font: _Font, width: int) -> list[str]:
    """Break a sentence into lines of at most `width` pixels; a word longer than a line is broken too."""
    lines = [""]
    for word in text[:_MAX_LETTERS].split():
        joined = f"{lines[-1]} {word}".strip()
        if font.getlength(joined) <= width:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if lines[-1] and font.getlength(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
        if len(lines) > _MAX_LINES:
            break
    if len(lines) > _MAX_LINES:
        lines = [*lines[: _MAX_LINES - 1], lines[_MAX_LINES - 1][:-3] + "..."]
    return lines
