"""Checks of the host as the daemon would use it: each with an id, a verdict and a remedy.

Nothing is changed by a check, and nothing is left behind. What a daemon that runs may ask of
itself is `standing`; all of it, for a person, is `examine`.
"""

from runner.doctor.examination import examine, standing
from runner.doctor.finding import Finding, Verdict, worst

__all__ = ["Finding", "Verdict", "examine", "standing", "worst"]
