"""From a JAX function to the value level of the Share IR. Importing this package registers the rules."""

from jmpc.frontend import rules_compare, rules_control, rules_index, rules_linear, rules_words

__all__ = ["rules_compare", "rules_control", "rules_index", "rules_linear", "rules_words"]
