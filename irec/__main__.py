"""``irec`` and ``python -m irec``."""

import sys


def main() -> None:
    """Run the command that the command line names."""
    try:
        from irec.commands.app import main as run
    except KeyboardInterrupt:
        # From here on the commands see to it themselves.
        print("irec: interrupted", file=sys.stderr)
        sys.exit(130)
    run(sys.argv[1:])


if __name__ == "__main__":
    main()
