"""From a JAX function to the value level of the Share IR. Importing this package registers the rules."""

from jmpc.frontend import rules

__all__ = ["rules"]
