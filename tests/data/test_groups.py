from __future__ import annotations

import itertools

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from sambench.data.groups import connected


def test_chains_are_one_group_called_after_the_first():
    assert connected([["a"], ["b"], ["c", "b"], ["d"], ["c", "a"]]) == [0, 0, 0, 3, 0]
    assert connected([[], [], ["x"]]) == [0, 1, 2]
    assert connected([]) == []


def test_against_the_connected_components_of_a_graph():
    draw = np.random.default_rng(0)
    for _ in range(50):
        keys = [draw.integers(0, 30, draw.integers(0, 4)).tolist() for _ in range(25)]
        pairs = [
            (i, j) for i, j in itertools.product(range(25), repeat=2) if {*keys[i]} & {*keys[j]}
        ]
        rows, columns = zip(*pairs, strict=True) if pairs else ((), ())
        graph = coo_matrix((np.ones(len(pairs)), (rows, columns)), shape=(25, 25))
        component = connected_components(graph, directed=False)[1].tolist()
        assert connected(keys) == [component.index(c) for c in component]
