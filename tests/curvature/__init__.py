"""Tests of the curvature package, each against something that does not come from it.

The fourteen oracles, and where each is:

1. exact Hessian of a small network: test_operator (product), test_lanczos (eigenvalues),
   test_trace, tests/run/test_section (all of a record);
2. central differences of gradients through every kind of layer: test_operator, test_networks,
   test_batch_norm (train mode);
3. spectra of known shape (pairs, clusters, rank one, negative, zero, tiny, slow): test_lanczos;
4. linear and softmax regression in closed form: test_operator;
5. collapsed predictor in closed form: test_lanczos;
6. null vector of the class biases: test_operator;
7. additivity over batches, independence of the cut, Jensen: test_operator, test_trace,
   test_batch_spectrum;
8. symmetry, linearity, scaling, the shift by a penalty: test_operator;
9. scale invariance under batch normalisation: test_batch_norm;
10. trace without bias and intervals that cover, on an indefinite matrix: test_trace;
11. nothing is left behind, operators are independent, memory is flat: test_objective, test_graph,
    test_batch_norm;
12. other libraries: test_libraries, where they are installed; benchmarks/curvature.py;
13. single precision at a loss near zero: test_operator;
14. no violation of the certificate: test_certificate; of each of several values: test_lanczos.

What is refused, and that right derivatives are not, is in test_checks.
"""
