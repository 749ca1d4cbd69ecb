import sys
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import pytest

from cfack.training.metrics_log import MetricsLog, read_metrics


class Board:
    """Stands for TensorBoard's writer, which is optional."""

    made: ClassVar[list["Board"]] = []

    def __init__(self, folder: Path, purge_step: int) -> None:
        self.folder, self.purge_step = folder, purge_step
        self.scalars: list[tuple[str, float, int]] = []
        self.made.append(self)

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.scalars.append((name, value, step))

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def without_tensorboard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)


@pytest.fixture
def boards(monkeypatch: pytest.MonkeyPatch) -> list[Board]:
    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Board  # type: ignore[attr-defined]  # a module made for this test
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    monkeypatch.setattr(Board, "made", [])
    return Board.made


def test_each_record_is_one_json_line_with_its_kind_and_step(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path)
    log.write("train", 3, loss=1.5, terms={"matching": 0.5})
    log.write("evaluation", 3, split="val")
    log.close()

    assert read_metrics(tmp_path / "metrics.jsonl") == [
        {"kind": "train", "step": 3, "loss": 1.5, "terms": {"matching": 0.5}},
        {"kind": "evaluation", "step": 3, "split": "val"},
    ]


def test_a_resumed_log_forgets_what_came_after_the_saved_state(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path)
    log.write("train", 1, loss=3.0)
    saved = log.size()
    log.write("train", 2, loss=2.0)
    log.close()

    resumed = MetricsLog(tmp_path, resume_at=saved, resume_step=1)
    resumed.write("train", 2, loss=2.0)
    resumed.close()

    assert [record["step"] for record in read_metrics(tmp_path / "metrics.jsonl")] == [1, 2]


def test_a_new_log_does_not_continue_an_old_file(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"kind": "train", "step": 9}\n')

    MetricsLog(tmp_path).close()

    assert read_metrics(tmp_path / "metrics.jsonl") == []


def test_a_line_that_a_kill_cut_short_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"kind": "train", "step": 1}\n{"kind": "tra')

    assert [record["step"] for record in read_metrics(path)] == [1]


def test_numbers_go_to_tensorboard_under_their_path_and_text_does_not(
    tmp_path: Path, boards: list[Board]
) -> None:
    log = MetricsLog(tmp_path)
    log.write("evaluation", 7, split="val", dual={"r1": 12.5}, seconds=2)
    log.close()

    assert boards[0].folder == tmp_path / "tensorboard"
    assert boards[0].scalars == [("evaluation/dual/r1", 12.5, 7), ("evaluation/seconds", 2.0, 7)]


def test_a_resumed_board_hides_the_steps_that_are_done_again(tmp_path: Path, boards: list[Board]) -> None:
    MetricsLog(tmp_path, resume_step=20).close()

    assert boards[0].purge_step == 21


def test_a_run_without_tensorboard_only_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="cfack.training.metrics_log"):
        log = MetricsLog(tmp_path)
        log.write("train", 1, loss=3.0)
        log.close()

    assert "TensorBoard is not installed" in caplog.text
    assert not (tmp_path / "tensorboard").exists()
