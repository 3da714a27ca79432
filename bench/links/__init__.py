"""Links between processes of this machine that are as slow as real ones: profiles, a relay, network namespaces.

This package imports neither jmpc's compiler nor JAX: its processes start at once and take little.
"""
