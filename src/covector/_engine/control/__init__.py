"""Primitives that hold Programs: calls, loops."""
