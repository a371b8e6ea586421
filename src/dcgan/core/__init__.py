"""The game itself: torch, numpy, scipy and the standard library. Knows no tool, no file and no environment."""
