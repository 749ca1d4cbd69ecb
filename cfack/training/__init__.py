"""Training: the objective, the optimiser, the loop, and a state that survives a kill. Start at `train.py`."""
