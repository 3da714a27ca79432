"""What a property draws: numbers, shapes, shares, arguments, Share IR, JAX functions with the error they may have.

Hypothesis strategies; `jmpc.testing` has those for users. `steps/` has the operations that random JAX functions are
made of, one file a subject.
"""
