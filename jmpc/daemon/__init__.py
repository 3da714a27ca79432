"""The process of a standing party: its settings, what it must be before it runs, what it says while it does."""
