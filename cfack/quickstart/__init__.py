"""Everything on a small rendered data set: render, train, evaluate, export, index, search."""

from cfack.quickstart.results import QuickstartResult, Row
from cfack.quickstart.run import quickstart
from cfack.quickstart.stages import StageCallback

__all__ = ["QuickstartResult", "Row", "StageCallback", "quickstart"]
