"""Which programs may run at a party: what its operator approved, what its policy allows, what a text says of itself."""
