"""Calls on a GPU taken apart: transfers, the graph by CUDA events, CUDA graphs on and off."""
