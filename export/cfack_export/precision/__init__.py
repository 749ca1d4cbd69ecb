"""Precisions as properties of graphs: an FP32 file in, an FP16 or 8-bit file out."""
