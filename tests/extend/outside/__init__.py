"""A package of a user's: primitives of every kind of implementation, written with public names alone."""
