"""Traces and primitives: how a function becomes a Program, and what an operation has to say."""
