import math

import pytest
import torch

from cfack.losses import HardNegatives, matching_loss, sample_hard_negatives


def draw(identity: list[int], candidates: list[int], similar: list[list[float]]) -> HardNegatives:
    """Negatives of images and texts that have these similarities to the candidates."""
    own = torch.tensor(identity)
    embeddings, candidate_embeddings = torch.tensor(similar), torch.eye(len(candidates))
    return sample_hard_negatives(
        embeddings,
        embeddings,
        own,
        candidate_embeddings,
        candidate_embeddings,
        torch.tensor(candidates),
        torch.tensor(0.07),
    )


def test_a_negative_never_has_the_identity_of_its_pair() -> None:
    identity = [0, 1, 0, 2]
    similar = torch.ones(4, 4).tolist()
    for seed in range(50):
        torch.manual_seed(seed)
        negatives = draw(identity, identity, similar)
        for row in range(4):
            assert identity[int(negatives.image[row])] != identity[row]
            assert identity[int(negatives.text[row])] != identity[row]
        assert negatives.image_valid.all()
        assert negatives.text_valid.all()


def test_the_similar_negative_is_drawn() -> None:
    # Of the two candidates of other identities one is 14 temperatures more similar: e^14 against 1.
    torch.manual_seed(0)
    drawn = [int(draw([0], [0, 1, 2], [[1.0, 0.0, 1.0]]).image[0]) for _ in range(50)]
    assert set(drawn) == {2}


def test_a_text_looks_for_images_and_an_image_for_texts() -> None:
    images, texts = torch.eye(4)[:1], torch.eye(4)[1:2]
    candidate_images = torch.stack([images[0], texts[0], texts[0] * 0])  # the text is close to image 1
    candidate_texts = torch.stack([texts[0], images[0] * 0, images[0]])  # the image is close to text 2
    identity = torch.tensor([0, 1, 2])
    torch.manual_seed(0)
    for _ in range(20):
        negatives = sample_hard_negatives(
            images, texts, identity[:1], candidate_images, candidate_texts, identity, torch.tensor(0.07)
        )
        assert negatives.image.tolist() == [1]
        assert negatives.text.tolist() == [2]


def test_negatives_come_from_all_candidates_where_there_are_more_than_pairs() -> None:
    negatives = draw([0, 0], [0, 0, 0, 5], [[1.0, 1.0, 1.0, 0.0]] * 2)
    assert negatives.image.tolist() == [3, 3]
    assert negatives.text.tolist() == [3, 3]


def test_a_row_without_a_negative_is_said_to_have_none() -> None:
    negatives = draw([0, 1], [0, 0], torch.ones(2, 2).tolist())
    assert negatives.image_valid.tolist() == [False, True]
    assert negatives.text_valid.tolist() == [False, True]


def test_matching_loss_counts_each_of_three_pairs_once() -> None:
    # One positive judged right by 2 and two negatives judged wrong by 2.
    logits = torch.tensor([[0.0, 2.0], [0.0, 2.0], [0.0, 2.0]])
    one = torch.zeros(1, dtype=torch.int64)
    loss = matching_loss(logits, HardNegatives(one, one, one == 0, one == 0))
    right, wrong = math.log(1 + math.exp(-2)), math.log(1 + math.exp(2))
    assert loss.item() == pytest.approx((right + 2 * wrong) / 3)


def test_pairs_without_a_negative_are_left_out_of_the_mean() -> None:
    logits = torch.tensor([[0.0, 2.0], [9.0, -9.0], [0.0, 2.0]])
    one = torch.zeros(1, dtype=torch.int64)
    loss = matching_loss(logits, HardNegatives(one, one, one != 0, one == 0))
    right, wrong = math.log(1 + math.exp(-2)), math.log(1 + math.exp(2))
    assert loss.item() == pytest.approx((right + wrong) / 2)


def test_several_negatives_of_a_pair_are_drawn_one_after_another_in_blocks() -> None:
    identity = torch.arange(6)
    torch.manual_seed(0)
    negatives = sample_hard_negatives(
        torch.eye(6)[:2], torch.eye(6)[:2], identity[:2], torch.eye(6), torch.eye(6), identity,
        torch.tensor(0.07), hardness=0.0, count=50,
    )  # fmt: skip
    assert negatives.image.shape == negatives.text_valid.shape == (100,)
    for drawn in (negatives.image.view(50, 2), negatives.text.view(50, 2)):
        assert set(drawn[:, 0].tolist()) == {1, 2, 3, 4, 5}
        assert set(drawn[:, 1].tolist()) == {0, 2, 3, 4, 5}


def test_matching_loss_of_several_negatives_is_the_mean_over_all_pairs() -> None:
    logits = torch.tensor([[0.0, 2.0]] * 5)  # one positive, two negative images, two negative texts
    two = torch.zeros(2, dtype=torch.int64)
    valid = torch.tensor([True, True])
    loss = matching_loss(logits, HardNegatives(two, two, valid, torch.tensor([True, False])))
    right, wrong = math.log(1 + math.exp(-2)), math.log(1 + math.exp(2))
    assert loss.item() == pytest.approx((right + 3 * wrong) / 4)
