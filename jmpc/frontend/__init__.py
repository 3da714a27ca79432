"""From a JAX function to the value level of the Share IR. Importing this package registers the rules."""

from jmpc.frontend import (
    rules_branch,
    rules_compare,
    rules_complex,
    rules_index,
    rules_integer,
    rules_linalg,
    rules_linear,
    rules_normalise,
    rules_real,
    rules_rounding,
    rules_order,
    rules_scan,
    rules_structure,
    rules_while,
    rules_window,
    rules_words,
)

__all__ = [
    "rules_branch",
    "rules_compare",
    "rules_complex",
    "rules_index",
    "rules_integer",
    "rules_linalg",
    "rules_linear",
    "rules_normalise",
    "rules_real",
    "rules_rounding",
    "rules_order",
    "rules_scan",
    "rules_structure",
    "rules_while",
    "rules_window",
    "rules_words",
]
