"""An example: long jobs in small steps, so that a crash repeats at most one step."""
