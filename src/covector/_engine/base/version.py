"""The version of the package, which is part of the key of whatever is kept on disk."""

VERSION = "0.1.0"
