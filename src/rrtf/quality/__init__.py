"""Is a set of problems fit to teach and to examine? Checks of references, stubs, mutants, likeness and overlap, for our problems and for users'.

Not here: what becomes of the verdict. `rrtf.quality.gate` says which problems to keep; `rrtf check`, `rrtf.stages.curate` and `scripts/check_starter.py` act
upon it.
"""
