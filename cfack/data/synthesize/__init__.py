"""Drawn pedestrians with captions: a data set for tests, demonstrations and calibration."""

from cfack.data.synthesize.generate import synthesize
from cfack.data.synthesize.summary import SplitCounts, SynthesisSummary

__all__ = ["SplitCounts", "SynthesisSummary", "synthesize"]
