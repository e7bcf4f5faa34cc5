"""Prefect lives here and only here: schedules, retries, and nothing else."""
