"""Figures of a report, from a study and what lies beside its records.

layout         where panels, rows and names stand; scales and ticks
material       the runs by setting, and their files, each read once
↑
accuracy, spent, curvature, predicted
               a few kinds each: what is drawn and what the caption says, or why nothing is
↑
gallery        all of them, and what could not be drawn
"""
