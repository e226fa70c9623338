"""The front door of mining: `mine`, which makes problems from a repository's own functions and pytest tests.

Not here: the repository as files (`repository`), functions (`candidates`), their levels (`levels`), which test runs which function (`tracing`), what a problem
is made of (`assembly`), which tests are kept (`selection`), what is left of a killed run (`journal`), the order of it all (`work`).
"""

from rrtf.mining.work import Mined, MiningConfig, mine

__all__ = ["Mined", "MiningConfig", "mine"]
