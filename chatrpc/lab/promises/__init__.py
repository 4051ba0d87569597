"""The promises C01 to C18, each as a test that any client class and server class can be put to.

They see only the public face, on the real broker. A test returns if the promise was kept and
raises Broken with the sentence that says how it was not. The docstring is the promise.
"""

from . import bounds, calls, ends, losses, poison, waits, workers
from .registry import Promise, registered

__all__ = ["PROMISES", "Promise"]

TESTS = (calls, waits, workers, losses, poison, bounds, ends)
PROMISES = dict(sorted(registered.items()))
