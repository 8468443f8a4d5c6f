"""Figures of a report, from a study and what lies beside its records.

axes, rows, panels, labels
               scales and ticks; a row for each optimizer; a panel for each; names of points that do
               not touch (size, type and colours are in `report.style`)
material       the runs by setting, and their files, each read once
↑
accuracy, paired, cost, flatness, learning, targets, ranks
batches, densities, landscapes, roc, reliability, confusion
               one kind of figure each: what it needs, what is drawn, what the caption says
↑
gallery        all of them, and what could not be drawn
"""
