"""One switch for each oddity of the released code that a clean implementation mends.

`True` is the released behaviour. The row numbers are those of docs/differences.md.
"""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Switches:
    """All off: the clean mode, our default. All on: the official mode."""

    matching_uses_original_mask: bool = False
    """O2: matching pairs the augmented caption's tokens with the original caption's attention mask."""
    raw_original_caption: bool = False
    """O3: the original caption is not normalised before tokenisation."""
    momentum_copied_before_loading: bool = False
    """O4: momentum text encoder and projections start from the initialisation, not from the checkpoint."""
    momentum_update_every_micro_batch: bool = False
    """O6: the momentum update also runs on the micro-batches of an accumulated step."""
    temperature_as_released: bool = False
    """O7: the temperature is decayed, and kept in its range only where there are momentum encoders."""
    cnn_term_as_released: bool = False
    """O8: the CNN embedding is not normalised; without momentum its term has diagonal targets, weight 1."""
    mask_padding_tokens: bool = False
    """O9: the number of masked tokens comes from the padded length, and [SEP] and [PAD] are masked too."""
    noun_labels_padded_with_zero: bool = False
    """O10: noun masking pads its labels with 0 instead of ignoring them."""
    cnn_centre_crop: bool = False
    """O12: the CNN view is a centre crop, which shows 29 % of a 128 x 384 person."""
    select_on_test: bool = False
    """O13: the best checkpoint is chosen on the test split."""
    released_parameter_groups: bool = False
    """O14: parameters are grouped by the released substrings of their names."""
    local_negatives: bool = False
    """O19: hard negatives come from this process's batch only."""
    eda_never_original: bool = False
    """O26: EDA draws among the first num_aug sentences and so never returns the caption itself."""

    @classmethod
    def official(cls) -> Switches:
        """All switches on."""
        return cls(**{f.name: True for f in fields(cls)})
