"""The time limit of a run."""

import math
import time
from dataclasses import dataclass


class DeadlineError(Exception):
    """The run has exceeded its time limit."""


@dataclass(frozen=True)
class Deadline:
    """The end of a run, as a value of `time.monotonic`; by default there is none."""

    at: float = math.inf

    def check(self) -> None:
        """Raise DeadlineError if it has passed; call this before each part that may be slow."""
        if time.monotonic() > self.at:
            raise DeadlineError


NO_LIMIT = Deadline()
