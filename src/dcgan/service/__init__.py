"""The generator over HTTP."""
