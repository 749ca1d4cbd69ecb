"""CFACK: text-to-image person retrieval, from training to a process without PyTorch."""

__version__ = "0.1.0"
