"""Simulation-based calibration of every mechanism: `uv run python -m tests.calibration --help`."""
