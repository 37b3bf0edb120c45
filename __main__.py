"""`bayespress` and `python -m bayespress`."""

from __future__ import annotations

import sys

from .cli.app import app
from .errors import BayespressError

_INTERRUPTED = 130  # what a shell reports of a program that Ctrl-C ended


def main() -> None:
    """Run the command line: what is the user's to mend ends in one sentence and its exit code."""
    try:
        app(prog_name="bayespress")
    except BayespressError as error:
        print(f"bayespress: {error}", file=sys.stderr)
        sys.exit(int(error.exit_code))
    except KeyboardInterrupt:
        print("bayespress: interrupted.", file=sys.stderr)
        sys.exit(_INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output went away: nothing to say, nobody to say it to
        sys.exit(0)


if __name__ == "__main__":
    main()
