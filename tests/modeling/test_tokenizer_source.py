import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, NoReturn

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from cfack.modeling.tokenizer_source import open_tokenizer
from cfack_runtime.errors import CheckpointError, DataError, UsageError
from cfack_runtime.tokenizer import SPECIAL_TOKENS, CaptionTokenizer

TOKENS = [*SPECIAL_TOKENS, "red", "coat", "##s"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the same tokenizer in both forms."""
    (tmp_path / "vocab.txt").write_text("\n".join(TOKENS) + "\n")
    (tmp_path / "tokenizer.json").write_text(CaptionTokenizer.from_tokens(TOKENS, 8).to_json())
    return tmp_path


@pytest.mark.parametrize("name", ["", "vocab.txt", "tokenizer.json"])
def test_a_folder_or_either_file_is_opened(name: str, folder: Path) -> None:
    tokenizer = open_tokenizer(folder / name, max_tokens=8)
    assert tokenizer.tokens(tokenizer.encode(["Red coats"]).input_ids[0]) == [
        "[CLS]",
        "red",
        "coat",
        "##s",
        "[SEP]",
    ]
    assert tokenizer.max_tokens == 8


def test_a_folder_with_a_vocabulary_only_is_enough(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    assert open_tokenizer(folder, 8).vocab_size == 8


def test_what_is_no_tokenizer_is_named(folder: Path) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(UsageError, match=r"empty holds neither tokenizer\.json nor vocab\.txt"):
        open_tokenizer(folder / "empty", 8)
    with pytest.raises(UsageError, match=r"no tokenizer file or folder .*absent\.txt"):
        open_tokenizer(folder / "absent.txt", 8)
    (folder / "a.model").write_text("x")
    with pytest.raises(UsageError, match=r"a\.model: expected a tokenizer\.json or a vocab\.txt"):
        open_tokenizer(folder / "a.model", 8)
    (folder / "vocab.txt").write_text("only\nwords\n")
    with pytest.raises(DataError, match=r"vocab\.txt: .*\[PAD\]"):
        open_tokenizer(folder / "vocab.txt", 8)


def test_a_name_comes_from_the_hub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str, bool]] = []

    def download(name: str, file: str, *, local_files_only: bool, **_: Any) -> str:
        asked.append((name, file, local_files_only))
        return str(folder / file)

    class Answer:
        def close(self) -> None: ...

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: Answer())
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    assert open_tokenizer("bert-base-uncased", 8).vocab_size == 8
    assert asked == [("bert-base-uncased", "tokenizer.json", False)]


@pytest.mark.parametrize("offline", ["0", "1"])
def test_a_hub_out_of_reach_is_asked_once_and_the_cache_instead(
    offline: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    probes: list[float] = []

    def refuse(*_: Any, timeout: float, **__: Any) -> NoReturn:
        probes.append(timeout)
        raise urllib.error.URLError("no network")

    def download(name: str, file: str, *, local_files_only: bool, **_: Any) -> NoReturn:
        assert local_files_only
        raise LocalEntryNotFoundError(file)

    monkeypatch.setenv("HF_HUB_OFFLINE", offline)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with pytest.raises(
        CheckpointError, match="'bert-base-uncased' is not in the local cache, and the hub cannot"
    ):
        open_tokenizer("bert-base-uncased", 8)
    assert probes == ([] if offline == "1" else [4.0])


def test_a_name_that_the_hub_cannot_have_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UsageError, match="neither a file or folder nor a name on the hub"):
        open_tokenizer("a name//with..mistakes", 8)
