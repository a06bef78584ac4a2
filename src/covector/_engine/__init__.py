"""What users do not import. The order of its rooms is the architecture: see docs/internals.md."""
