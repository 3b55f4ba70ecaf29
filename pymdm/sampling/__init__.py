"""Sampling: the one way to draw sequences, its samplers, prompts, schedules and results."""
