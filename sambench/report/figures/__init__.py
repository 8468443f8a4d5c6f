"""Figures of a report, from stored records and what lies beside them.

axes, rows, panels, labels, wording
               scales and ticks; a row for each optimizer; a panel for each; names of points that do
               not touch; sentences (size, type and colours are in `report.style`)
material       the runs by setting, and their files, each read once
↑
accuracy, paired, cost, flatness, learning, targets, profiles, ranks
batches, densities, landscapes, roc, reliability, confusion
               one kind of figure each: what it needs, what is drawn, what the caption says
↑
gallery        all of them, and what could not be drawn
"""

from sambench.report.figures.gallery import Gallery, draw_gallery
from sambench.report.figures.material import LeftOut

__all__ = ["Gallery", "LeftOut", "draw_gallery"]
