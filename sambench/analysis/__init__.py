"""From records to statements, without torch.

metrics               what is compared, and which direction is better
groups, grouping      records by setting and optimizer, what these are called
units                 runs as units: seeds or folds
inference             the tests, intervals, equivalence
comparison, families  one statement; all by one metric, corrected together
study, decision       everything that a report says; which optimizer to choose, at what loss
contrast              two optimizers or two sets of runs, setting by setting
published, claims     the papers' numbers and claims, and what our runs say of them
predictions, curves   single test images; ROC, calibration and reliability of them
histories             learning epoch by epoch, cost to a target
ranks                 flatness with accuracy; many data sets
troubles              what went wrong, and the way out
time_estimates        how long the rest takes
"""
