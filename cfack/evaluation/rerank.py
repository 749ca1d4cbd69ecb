"""Match logits of candidate pairs, image by image."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from cfack.evaluation.encode import EncodedGallery, EncodedQueries
from cfack.modeling import CFACK
from cfack_runtime.progress import ProgressCallback, no_progress


def match_candidates(
    model: CFACK,
    queries: EncodedQueries,
    gallery: EncodedGallery,
    candidates: NDArray[np.int64],
    batch_size: int,
    *,
    progress: ProgressCallback = no_progress,
) -> NDArray[np.float32]:
    """Judge every query with each of its candidates. Call it inside `evaluation_mode`.

    Pairs are taken image by image: the tokens of an image are then needed once, however many queries
    list it, and the cross-encoder projects them once for a batch of captions.

    Args:
        model: where it lies, it runs.
        queries: the Q captions.
        gallery: the G images.
        candidates: (Q, K) gallery indices.
        batch_size: pairs per step.
        progress: counts images.

    Returns:
        (Q, K, 2): the logits of each pair, aligned with `candidates`.
    """
    count = candidates.shape[1]
    images = candidates.reshape(-1)
    by_image = np.argsort(images, kind="stable")
    bounds = np.searchsorted(images[by_image], np.arange(len(gallery.paths) + 1))
    logits = torch.empty(images.size, 2, device=queries.tokens.device)
    done = 0
    for start, tokens in gallery.token_batches(model):
        for place in range(len(tokens)):
            image = start + place
            pairs = by_image[bounds[image] : bounds[image + 1]]
            # By length, so that short captions are not computed as if they were long.
            pairs = pairs[np.argsort(queries.lengths[pairs // count], kind="stable")]
            for first in range(0, len(pairs), batch_size):
                chunk = torch.from_numpy(pairs[first : first + batch_size])
                longest = int(queries.lengths[int(chunk[-1]) // count])
                chunk = chunk.to(logits.device)
                rows = chunk // count
                logits[chunk] = model.match(
                    queries.tokens[rows, :longest],
                    queries.attention_mask[rows, :longest],
                    tokens[place : place + 1],
                ).float()
        done += len(tokens)
        progress(done, len(gallery.paths))
    return logits.cpu().numpy().reshape(*candidates.shape, 2)
