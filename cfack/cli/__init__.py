"""The `cfack` command. Each subcommand lives in a module of its own and is imported when it runs.

`cfack --help` therefore loads neither torch nor onnx nor numpy.
"""

from __future__ import annotations

import sys

import click

from cfack import __version__
from cfack.cli.lazy import LazyGroup
from cfack_runtime.errors import CfackError


@click.group(
    cls=LazyGroup,
    commands_by_module={
        "quickstart": ("cfack.cli.quickstart", "Everything below, on a small rendered data set."),
        "data": ("cfack.cli.data", "Prepare, render and count data sets."),
        "train": ("cfack.cli.train", "Train a model."),
        "evaluate": ("cfack.cli.evaluate", "Measure a checkpoint on a split."),
        "import": ("cfack.cli.import_", "Turn a released checkpoint into ours."),
        "export": ("cfack.cli.export", "Write a checkpoint as a bundle of ONNX graphs."),
        "verify": ("cfack.cli.verify", "Run the parity gate on a bundle again."),
        "inspect": ("cfack.cli.inspect", "Show what a bundle holds, on one screen."),
        "doctor": ("cfack.cli.doctor", "Say what this machine can run, and what to do about the rest."),
        "bench": ("cfack.cli.bench", "Measure how long a bundle takes, with its accuracy."),
        "index": ("cfack.cli.index", "Encode a folder of images into a gallery."),
        "gallery": ("cfack.cli.gallery", "Look at a gallery, delete images, compact it, check it."),
        "search": ("cfack.cli.search", "Find images in a gallery by a sentence."),
    },
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="cfack")
@click.option("-v", "--verbose", count=True, help="Say more; twice for debugging.")
def cli(verbose: int) -> None:
    """Retrieve pedestrian images by a sentence: train, evaluate, export, search."""
    import logging

    level = {0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG)
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)


_EXTRA_OF = {
    **dict.fromkeys(
        ("torch", "torchvision", "timm", "transformers", "safetensors", "scipy", "yaml"), "train"
    ),
    **dict.fromkeys(("tomli", "tomli_w"), "train"),
    **dict.fromkeys(("onnx", "onnx_ir", "onnxscript"), "export"),
    "matplotlib": "bench",
}
"""Packages that a light installation leaves out, and the extra that brings each."""


def main() -> None:
    """Run the command line; our own errors become one message and their exit code."""
    try:
        cli()
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package not in _EXTRA_OF:
            raise
        click.echo(
            f"error: this command needs {package}, which is not installed; "
            f"run `pip install 'cfack[{_EXTRA_OF[package]}]'`",
            err=True,
        )
        sys.exit(1)
    except CfackError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
