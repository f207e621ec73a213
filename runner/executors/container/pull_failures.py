"""What an engine says of a pull that failed, and what follows from it: pure.

Engines give the registry's answer as a sentence, Docker with 500 for nearly all of them; so it
is told by its words. What is not known here may end otherwise if tried again.
"""

from __future__ import annotations

import re

from runner.domain.failure import Failure, Fault, Reason

_LONGEST = 300  # characters of an engine's sentence

_NOT_GRANTED = re.compile(
    r"unauthorized|no basic auth credentials|authentication required|denied|forbidden"
    r"|(?:http|status:|status code from registry) 40[13]\b",
    re.IGNORECASE,
)
_NOT_THERE = re.compile(
    r"(?:manifest|name|blob|repository|tag) (?:is )?(?:unknown|invalid|not found)|unknown blob"
    r"|manifest for .* not found|repository .* not found"
    r"|(?:http|status:|status code from registry) 404\b"
    r"|no matching manifest|no image found in .* for architecture",
    re.IGNORECASE,
)
_SOON = re.compile(r"too many requests|\b429\b|no space left|timeout|no such host", re.IGNORECASE)


class PullFailed(Exception):
    """The engine could not pull it; `permanent`: nor will it if asked again."""

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.message, self.permanent = message, permanent

    def failure(self) -> Failure:
        """As a task's."""
        fault = Fault.TASK if self.permanent else Fault.SYSTEM
        return Failure(Reason.IMAGE_PULL, self.message, fault, retryable=not self.permanent)


def judged(reference: str, said: str) -> PullFailed:
    """What an engine's sentence about a pull of `reference` means."""
    repository = re.split(r"@|:(?!.*/)", reference, maxsplit=1)[0]
    words = said.replace(reference, "it").replace(repository, "it")  # it may be called "denied"
    words = re.sub(r"manifest \S+ in ", "manifest in ", words)  # and so may its tag
    if _SOON.search(words):
        permanent, what = False, "could not be pulled"
    elif _NOT_THERE.search(words):
        permanent, what = True, "is not in its registry"
    elif _NOT_GRANTED.search(words):
        permanent, what = True, "is not granted by its registry"
    else:
        permanent, what = False, "could not be pulled"
    return PullFailed(f"image {reference} {what}: {said[:_LONGEST]}", permanent=permanent)
