"""Resumable state and weights on disk."""
