"""Is a set of problems fit to teach and to examine? Checks of references, stubs, mutants, likeness and overlap, for our problems and for users'.

Not here: what becomes of the findings. `scripts/check_starter.py` and `rrtf check` print them; nothing is dropped by itself.
"""
