"""From records to comparisons, without torch.

groups, frame     records by setting and optimizer; records as one DataFrame
metrics           what is compared, and which direction is better
pairing           which run belongs to which; what is left over
paired, intervals, effects, multiplicity, inference
tests, intervals, effect sizes, Holm; which test a design gets
comparison        two sides by one metric: difference, interval, p, verdict
panels            a report's settings, each optimizer against the baseline
answer, reach     what a panel says in the end; what a suite can say at most
cells             a number of a report by its name
soundness, troubles
records that cannot be believed; what went wrong with the others
contrast          two optimizers or two sets of runs, setting by setting
predictions       two runs on the same test images: McNemar, DeLong
cells             one optimizer's runs by one metric: mean and interval
correlation, pareto
rank correlation of two numbers of runs; who is beaten in neither of two
roc, reliability, learning
mean curves over runs: of predictions, and of training
ranks, profiles, targets
many data sets; cost within a factor of the best; cost to a target
published, replication, claims, findings
the papers' numbers and claims, and what our runs say of them
"""
