"""What README and docs name exists: files, commands, options, modules and what they export."""

from __future__ import annotations

import importlib
import re
from functools import cache
from pathlib import Path

import click
import pytest

from cfack.cli import cli

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PACKAGES = ("cfack", "cfack_runtime", "cfack_export", "cfack_bench")

pages = pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)


def code(page: Path) -> list[str]:
    """The pieces of a page that are set as code: inline, fenced (by line) or indented (by line)."""
    text = re.sub(r"<!--.*?-->", "", page.read_text(encoding="utf-8"), flags=re.S).replace("\\\n", " ")
    fenced = re.findall(r"^```\w*\n(.*?)^```", text, flags=re.S | re.M)
    prose = re.sub(r"^```\w*\n.*?^```", "", text, flags=re.S | re.M)
    indented = re.findall(r"^ {4}(\S.*)$", prose, flags=re.M)
    inline = [" ".join(piece.split()) for piece in re.findall(r"`([^`]+)`", prose)]
    return [*(line for block in fenced for line in block.splitlines()), *indented, *inline]


def command_lines(page: Path) -> list[list[str]]:
    """Words after `cfack`, without comments and placeholders for more."""
    lines = []
    for piece in code(page):
        for part in re.split(r"&&|\|\s", piece.split("   #")[0].split(" # ")[0]):
            if match := re.match(r"\s*(?:\S*/bin/|torchrun .*-m )?cfack ([a-z].*)$", part):
                lines.append(match[1].split())
    return lines


def find_command(words: list[str]) -> click.Command | None:
    """The command that words name, as deep as they go; None where the first is none."""
    command: click.Command = cli
    context = click.Context(cli)
    for number, word in enumerate(words):
        if not isinstance(command, click.Group):
            return command
        inner = command.get_command(context, word)
        if inner is None:
            return command if number else None
        command = inner
    return command


def options(command: click.Command) -> set[str]:
    """Options of a command; of a group those of its commands too, for `bench` runs one that is not named."""
    found = {"--help", "-h"}
    found |= {name for param in command.params for name in (*param.opts, *param.secondary_opts)}
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in [*command.list_commands(context), "run"]:
            if (inner := command.get_command(context, name)) is not None:
                found |= options(inner)
    return found


@pages
def test_relative_links_lead_to_files_and_headings(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = page if not name else page.parent / name
        assert file.exists(), f"{page.name} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), flags=re.M)
            assert anchor in {anchor_of(heading) for heading in headings}, f"{page.name} links to {target}"


def anchor_of(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pages
def test_commands_and_their_options_exist(page: Path) -> None:
    for words in command_lines(page):
        command = find_command(words)
        assert command is not None, f"{page.name}: cfack {' '.join(words)}"
        known = options(command)
        for word in words:
            if match := re.match(r"(--[a-z][\w-]*|-[a-z]\b)", word):
                assert match[1] in known, f"{page.name}: cfack {' '.join(words)}"


@pages
def test_an_option_that_is_named_alone_belongs_to_a_command(page: Path) -> None:
    known = options(cli) | script_options()
    for piece in code(page):
        if re.match(r"--[a-z]", piece):
            name = re.split(r"[ =\[|/]", piece)[0].replace("_", "-")
            assert name in known, f"{page.name}: {piece}"


@cache
def script_options() -> set[str]:
    """Options of the measuring scripts, which are not commands of `cfack`."""
    texts = (path.read_text(encoding="utf-8") for path in (ROOT / "benchmarks").rglob("*.py"))
    return {name for text in texts for name in re.findall(r'"(--[a-z-]+)"', text)}


@pages
def test_modules_and_names_of_ours_can_be_imported(page: Path) -> None:
    for piece in code(page):
        for match in re.finditer(rf"(?<![\w./-])((?:{'|'.join(PACKAGES)})(?:\.\w+)+)", piece):
            if match[1].endswith((".md", ".toml", ".py", ".so", ".h", ".hpp", ".map", ".pc")):
                continue
            assert resolves(match[1]), f"{page.name}: {match[1]}"
        if match := re.match(rf"from ((?:{'|'.join(PACKAGES)})[\w.]*) import (.+)$", piece):
            for name in match[2].strip("()").split(","):
                assert resolves(f"{match[1]}.{name.strip()}"), f"{page.name}: {piece}"


def resolves(dotted: str) -> bool:
    """Whether a dotted name is a module, or something that a module holds."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError as error:
            if error.name is None or not dotted.startswith(error.name):
                raise
            continue
        for name in parts[length:]:
            if not hasattr(found, name):
                return False
            found = getattr(found, name)
        return True
    return False


@pages
def test_files_of_the_project_that_are_named_exist(page: Path) -> None:
    folders = ("cfack", "export", "runtime", "benchmarks", "tests", "docs")
    for piece in code(page):
        pattern = rf"(?<![\w/.-])(?:{'|'.join(folders)})/[\w./-]+\.(?:py|md|toml|json|h|cpp|sh)\b"
        for name in re.findall(pattern, piece):
            assert (ROOT / name).exists(), f"{page.name}: {name}"


def test_the_patterns_of_this_file_find_something() -> None:
    found = [words for page in PAGES for words in command_lines(page)]
    assert {"train", "export", "search", "bench", "data"} <= {words[0] for words in found}
    assert not resolves("cfack.modeling.nothing")
    assert not resolves("cfack.nothing.at_all")
    assert find_command(["nothing"]) is None
