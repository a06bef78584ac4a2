"""The bottom floor: flags, messages, pytrees."""
