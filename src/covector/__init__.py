"""Covector: NumPy-style programs, compiled and transformed."""
