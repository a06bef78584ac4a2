"""Transformations, each written once as a trace: forward derivatives, transposition, batching."""
