"""Examples of jmpc, one task a file. Each has a `main()` that runs from the command line and in the tests."""
