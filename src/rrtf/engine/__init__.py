"""Resumable stages: reuse, resume or run, and why. Knows nothing of code, models or RRTF."""
