"""Finding the tokenizer that a model was trained with: on disk, or by its name on the Hugging Face hub."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from pathlib import Path

from cfack_runtime.errors import CheckpointError, UsageError
from cfack_runtime.tokenizer import CaptionTokenizer

_CONNECT_SECONDS = 4.0
_FILES = ("tokenizer.json", "vocab.txt")


def open_tokenizer(source: str | Path, max_tokens: int) -> CaptionTokenizer:
    """Open the tokenizer that `source` means.

    Args:
        source: a folder with `tokenizer.json` or `vocab.txt` (a checkpoint folder too), one of these files,
            or a name on the hub such as "bert-base-uncased".
        max_tokens: word pieces per caption, [CLS] and [SEP] included.

    Raises:
        UsageError: a path that does not exist, or a file of another kind.
        CheckpointError: the hub has no such tokenizer or cannot be reached.
        DataError: the file is damaged or no BERT tokenizer.
    """
    path = Path(source)
    if path.is_dir():
        found = next((path / name for name in _FILES if (path / name).is_file()), None)
        if found is None:
            raise UsageError(f"{path} holds neither tokenizer.json nor vocab.txt")
        return _read(found, max_tokens)
    if path.is_file():
        return _read(path, max_tokens)
    if path.suffix in (".json", ".txt") or path.is_absolute() or str(source).startswith("."):
        raise UsageError(f"no tokenizer file or folder {path}")
    return _read(fetch_from_hub(str(source)), max_tokens)


def fetch_from_hub(name: str) -> Path:
    """Path of a tokenizer's file in the hub's local cache, downloaded first where needed and possible.

    A hub that cannot be reached is noticed within seconds, instead of after the client's own retries.

    Raises:
        CheckpointError: no such tokenizer, or it is not in the cache and the hub is out of reach.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HFValidationError, LocalEntryNotFoundError

    offline = not _hub_answers()
    for file in _FILES:
        try:
            return Path(hf_hub_download(name, file, local_files_only=offline, etag_timeout=_CONNECT_SECONDS))
        except HFValidationError as error:
            raise UsageError(
                f"{name!r} is neither a file or folder nor a name on the hub: {error}"
            ) from error
        except EntryNotFoundError as error:
            if isinstance(error, LocalEntryNotFoundError) and not offline:
                raise CheckpointError(
                    f"the hub stopped answering about tokenizer {name!r}: {error}"
                ) from error
        except Exception as error:  # the client lets through those of its HTTP library
            raise CheckpointError(f"the hub has no tokenizer {name!r} to give: {error}") from error
    if offline:
        raise CheckpointError(f"tokenizer {name!r} is not in the local cache, and the hub cannot be reached")
    raise CheckpointError(f"{name!r} on the hub holds neither tokenizer.json nor vocab.txt")


def _hub_answers() -> bool:
    if os.environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "ON", "YES", "TRUE"):
        return False
    request = urllib.request.Request(os.environ.get("HF_ENDPOINT", "https://huggingface.co"), method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=_CONNECT_SECONDS).close()
    except urllib.error.HTTPError:
        return True  # an answer, if not a friendly one
    except (OSError, ValueError):
        return False
    return True


def _read(path: Path, max_tokens: int) -> CaptionTokenizer:
    if path.suffix == ".json":
        return CaptionTokenizer.from_file(path, max_tokens)
    if path.suffix == ".txt":
        return CaptionTokenizer.from_vocab(path, max_tokens)
    raise UsageError(f"{path}: expected a tokenizer.json or a vocab.txt")
