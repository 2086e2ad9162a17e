"""The contract every system keeps, as tests for one line: `check_system(MySystem)`, `check_spotter(MySpotter)`."""

from microgesture.testing.spotters import SPOTTER_CHECKS, check_spotter
from microgesture.testing.systems import CHECKS, check_system

__all__ = ["CHECKS", "SPOTTER_CHECKS", "check_spotter", "check_system"]
