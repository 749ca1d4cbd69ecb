"""From a checkpoint to a bundle: ONNX graphs, checked against PyTorch before they are written."""
