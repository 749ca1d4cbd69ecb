import numpy as np
import pytest

from cfack_export.parity import GraphParity, combine, compare
from cfack_runtime.errors import ParityError


def array(*rows: list[float]) -> np.ndarray:
    return np.array(rows, dtype=np.float32)


def test_errors_are_relative_to_the_largest_expected_value_where_that_is_above_one() -> None:
    result = compare("reranker", "c", "match_logits", array([50.0, 0.001]), array([50.0, 0.0]))

    assert result.max_abs_error == pytest.approx(0.001)
    assert result.error == pytest.approx(0.001 / 50.0)


def test_errors_below_one_are_absolute() -> None:
    result = compare("text_encoder", "c", "text_embedding", array([0.6, 0.80001]), array([0.6, 0.8]))

    assert result.error == result.max_abs_error == pytest.approx(1e-5, rel=0.01)
    assert result.min_cosine == pytest.approx(1.0)


def test_an_error_above_the_tolerance_names_graph_case_output_and_value() -> None:
    with pytest.raises(ParityError) as caught:
        compare("text_encoder", "batch 5, length 40", "text_embedding", array([1.0, 0.1]), array([1.0, 0.0]))

    assert str(caught.value).startswith(
        "text_encoder, case 'batch 5, length 40', text_embedding: "
        "differs from PyTorch by 0.1, allowed is 2e-05"
    )
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(ParityError, match="differs from PyTorch by"):
        compare("reranker", "c", "match_logits", array([value, 0.0]), array([1.0, 0.0]))


def test_another_shape_or_type_is_refused() -> None:
    with pytest.raises(ParityError, match=r"got float32 \(1, 2\), PyTorch gives float32 \(2, 2\)"):
        compare("reranker", "c", "match_logits", array([1.0, 0.0]), array([1.0, 0.0], [1.0, 0.0]))
    with pytest.raises(ParityError, match="got float64"):
        compare("reranker", "c", "match_logits", array([1.0, 0.0]).astype(np.float64), array([1.0, 0.0]))


def test_the_lowest_cosine_is_that_of_the_worst_row() -> None:
    got = array([1.0, 0.0], [1.0, 1e-5])
    result = compare("image_encoder", "c", "image_tokens", got, array([1.0, 0.0], [1.0, 0.0]))

    assert result.min_cosine == pytest.approx(1.0 - 0.5e-10, abs=1e-13)
    assert result.min_cosine < 1.0


def test_cases_are_combined_by_their_worst() -> None:
    good = compare("reranker", "a", "match_logits", array([1.0, 0.0]), array([1.0, 0.0]))
    bad = compare("reranker", "b", "match_logits", array([1.0, 5e-5]), array([1.0, 0.0]))

    both = combine([good, bad])

    assert both.cases == 2
    assert both.error == bad.error
    assert both.min_cosine == bad.min_cosine
    assert GraphParity("reranker", (both,)).to_json() == {
        "match_logits": {
            "cases": 2,
            "tolerance": 1e-4,
            "error": bad.error,
            "max_abs_error": bad.max_abs_error,
            "min_cosine": bad.min_cosine,
        }
    }
