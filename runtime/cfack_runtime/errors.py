"""Every error that CFACK raises on purpose.

    CfackError
    ├── UsageError              the call cannot be carried out as asked
    ├── DataError               a data set, an annotation or an image is wrong
    │   └── ImageError          one image cannot be read
    ├── ConfigError             a configuration is wrong; all its faults at once
    ├── CheckpointError         a checkpoint is wrong or does not fit the model
    ├── BundleError             an exported bundle is wrong
    ├── GalleryError            a gallery is wrong
    │   └── EmbeddingSpaceError gallery and bundle belong to different models
    ├── BackendError            what would run the graphs is not here or failed
    ├── TrainingError           training cannot go on (NaN loss, out of memory)
    │   └── TrainingInterruptedError (cfack.training.interrupt) a signal ended it; it can be resumed
    └── ParityError             an export that changes results was refused

A message says what was got, what was expected and what to do. The command line prints it and exits with
`exit_code`; library code lets it travel.
"""

from __future__ import annotations


class CfackError(Exception):
    """Base of every error in the tree above."""

    exit_code = 1


class UsageError(CfackError):
    """The call cannot be carried out as asked."""

    exit_code = 2


class DataError(CfackError):
    """A data set, an annotation or an image is wrong."""


class ImageError(DataError):
    """One image cannot be read."""


class ConfigError(CfackError):
    """A configuration is wrong."""

    exit_code = 2


class CheckpointError(CfackError):
    """A checkpoint is wrong or does not fit the model."""


class BundleError(CfackError):
    """An exported bundle is wrong."""


class GalleryError(CfackError):
    """A gallery is wrong."""


class EmbeddingSpaceError(GalleryError):
    """Gallery and bundle belong to different models."""


class BackendError(CfackError):
    """What would run the graphs is not here or failed."""


class TrainingError(CfackError):
    """Training cannot go on."""


class ParityError(CfackError):
    """An export that changes results was refused."""

    exit_code = 3
