"""``irec`` and ``python -m irec``."""

import os
import sys


def main() -> None:
    """Run the command that the command line names."""
    _reopen_closed()
    try:
        from irec.commands.app import main as run
    except KeyboardInterrupt:
        # From here on the commands see to it themselves.
        print("irec: interrupted", file=sys.stderr)
        sys.exit(130)
    run(sys.argv[1:])


def _reopen_closed() -> None:
    """Give each standard stream that was closed (``>&-``) a place, lest a file takes its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115


if __name__ == "__main__":
    main()
