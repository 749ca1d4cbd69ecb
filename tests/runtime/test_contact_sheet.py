import numpy as np
import pytest
from PIL import Image

from cfack_runtime.contact_sheet import SheetHit, SheetRow, render_contact_sheet
from cfack_runtime.errors import UsageError

GREEN, RED, BLUE = (26, 152, 80), (215, 48, 39), (20, 40, 200)


def count(sheet, color):
    return int((np.asarray(sheet) == color).all(axis=2).sum())


def sheet_of(*hits, query="a red coat", title=""):
    return render_contact_sheet([SheetRow(query, hits)], title)


def person(size=(64, 160)):
    return Image.new("RGB", size, BLUE)


def test_right_hits_are_framed_green_wrong_ones_red_and_unknown_ones_not():
    right, wrong, unknown = (sheet_of(SheetHit(person(), 0.5, correct)) for correct in (True, False, None))
    assert count(right, GREEN) > 1000
    assert count(right, RED) == 0
    assert count(wrong, RED) > 1000
    assert count(wrong, GREEN) == 0
    assert count(unknown, GREEN) == count(unknown, RED) == 0


def test_right_and_wrong_differ_by_more_than_their_colour():
    grey = [np.asarray(sheet_of(SheetHit(person(), None, correct)).convert("1")) for correct in (True, False)]
    assert (grey[0] != grey[1]).sum() > 20


@pytest.mark.parametrize("size", [(64, 160), (300, 100), (3000, 7), (1, 900), (132, 330)])
def test_images_keep_their_aspect(size):
    ys, xs = np.nonzero((np.asarray(sheet_of(SheetHit(person(size)))) == BLUE).all(axis=2))
    width, height = np.ptp(xs) + 1, np.ptp(ys) + 1
    assert width == 132 or height == 330
    assert width == pytest.approx(size[0] * min(132 / size[0], 330 / size[1]), abs=1)
    assert height == pytest.approx(size[1] * min(132 / size[0], 330 / size[1]), abs=1)


def test_images_are_read_from_files_and_an_unreadable_one_leaves_the_rest(tmp_path):
    path = tmp_path / "a.png"
    person().save(path)
    (tmp_path / "b.png").write_text("no image")
    sheet = sheet_of(SheetHit(tmp_path / "b.png", 0.9, False), SheetHit(str(path), 0.8, True))
    assert count(sheet, BLUE) > 20_000
    assert count(sheet, GREEN) > 1000


def test_each_part_that_is_given_is_drawn():
    plain = sheet_of(SheetHit(person()))
    assert plain.tobytes() != sheet_of(SheetHit(person(), 0.123)).tobytes()
    assert plain.tobytes() != sheet_of(SheetHit(person()), query="a blue coat").tobytes()
    assert sheet_of(SheetHit(person()), title="Results").height > plain.height
    assert plain.tobytes() == sheet_of(SheetHit(person())).tobytes()


def test_the_sheet_is_as_wide_as_its_longest_row():
    hits = [SheetHit(person())] * 12
    wide = render_contact_sheet([SheetRow("one", hits[:2]), SheetRow("two", hits)])
    assert wide.width == 2 * 28 + 12 * 132 + 11 * 14
    assert render_contact_sheet([SheetRow("one", hits[:2])]).width == 560


def test_a_long_sentence_is_wrapped_and_one_without_end_is_cut():
    short = sheet_of(SheetHit(person()))
    longer = sheet_of(SheetHit(person()), query="a person in a red coat " * 5)
    endless = sheet_of(SheetHit(person()), query="a person in a red coat " * 50_000)
    unbroken = sheet_of(SheetHit(person()), query="x" * 1_000_000)
    assert short.height < longer.height < endless.height == unbroken.height


def test_no_ink_leaves_the_margins():
    sheet = np.asarray(sheet_of(SheetHit(person()), query="WWWWWWW " * 30))
    assert (sheet[:, :26] == 255).all()
    assert (sheet[:, -26:] == 255).all()


def test_a_query_without_hits_and_an_empty_query_are_drawn():
    sheet = render_contact_sheet([SheetRow("nobody like that", []), SheetRow("", [SheetHit(person())])])
    assert count(sheet, BLUE) > 20_000


def test_no_rows_make_no_sheet():
    with pytest.raises(UsageError, match="at least one query"):
        render_contact_sheet([])
