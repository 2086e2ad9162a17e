"""The look-alike of SMG's first version: the same files as `smg`."""

from microgesture.simulation.lookalikes.smg import write

__all__ = ["write"]
