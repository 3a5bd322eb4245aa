"""Checks of one client: each is counted, none ends the run, the last line says how many held."""

import os
import sys
import traceback


def endpoints():
    """Where the cluster is: (host, port) of every node."""
    pairs = os.environ["ENDPOINTS"].split(",")
    return [(pair.rsplit(":", 1)[0], int(pair.rsplit(":", 1)[1])) for pair in pairs]


class Checks:
    """What held and what did not."""

    def __init__(self, name):
        self.name = name
        self.passed = 0
        self.failed = 0

    def equal(self, what, found, wanted):
        """Holds if both are the same."""
        self.true(what, found == wanted, f"{found!r} instead of {wanted!r}")

    def true(self, what, holds, otherwise=""):
        """Holds if it is so."""
        if holds:
            self.passed += 1
        else:
            self.failed += 1
            print(f"{self.name}: {what}: {otherwise or 'is not so'}", flush=True)

    def raises(self, what, kind, words, action):
        """Holds if the action fails with this exception, which says these words."""
        try:
            found = action()
        except kind as error:
            said = f"{error} {getattr(error, '__cause__', '')}"
            self.true(what, words in said, f"it says {said!r}")
        except Exception as error:  # any other is what this check is about
            self.true(what, False, f"{type(error).__name__}: {error}")
        else:
            self.true(what, False, f"no failure, but {found!r}")

    def broke(self):
        """Counts an exception that nobody expected."""
        self.failed += 1
        traceback.print_exc()

    def end(self):
        """Prints the count, and ends the program."""
        print(f"{self.name}: {self.passed} passed, {self.failed} failed", flush=True)
        sys.stdout.flush()
        # Not sys.exit: threads of a client that hang would hold it up.
        os._exit(1 if self.failed or not self.passed else 0)
