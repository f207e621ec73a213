"""What an engine says of a pull that failed, and what follows from it: pure.

Engines give the registry's answer as a sentence, Docker with 500 for nearly all of them; so it
is told by its words, those of the engine: the registry's own decide nothing. What is not known
here may end otherwise if tried again.
"""

from __future__ import annotations

import re

from runner.domain.failure import Failure, Fault, Reason

_LONGEST = 300  # characters of an engine's sentence

_SAYS = re.compile(
    r"(?:http|status:|status code from registry|statuscode:) (?P<status>\d{3})\b"
    r"|(?P<absent>(?:manifest|name|blob|repository|tag) (?:is )?(?:unknown|invalid|not found)"
    r"|unknown blob|manifest for .* not found|repository .* not found"
    r"|no matching manifest|no image found in .* for architecture)"
    r"|(?P<refused>unauthorized|no basic auth credentials|authentication required"
    r"|(?<!permission )denied|forbidden)"
    r"|(?P<soon>too ?many ?requests|(?:unknown|unavailable|unsupported): |no space left|timeout)",
    re.IGNORECASE,
)
"""Of these the first counts: an engine says the status, or what the registry calls the error,
before it gives the registry's own words, which may say anything (a page about a "timeout")."""

_BY_STATUS = {"401": "refused", "403": "refused", "404": "absent"}
_MEANS = {"absent": "is not in its registry", "refused": "is not granted by its registry"}


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
    words = re.sub(r"https?://[^\s\"]+", "it", words)  # where its path is another
    found = _SAYS.search(words)
    kind = "" if found is None else str(found.lastgroup)
    kind = _BY_STATUS.get(found["status"], "") if found and kind == "status" else kind
    what = _MEANS.get(kind, "could not be pulled")
    message = f"image {reference} {what}: {said[:_LONGEST]}"
    return PullFailed(message, permanent=kind in _MEANS)
