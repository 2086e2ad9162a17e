"""How systems are trained and tested: recipes, the tasks, saved models."""

from microgesture.learning.runs import test, train

__all__ = ["test", "train"]
