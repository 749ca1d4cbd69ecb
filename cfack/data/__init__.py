"""Data sets: preparation, annotation files, views, text augmentation, masking, batches.

Nothing is imported here, so that reading an annotation needs no torch.
"""
