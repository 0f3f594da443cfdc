"""``irec`` and ``python -m irec``."""

import sys


def main() -> None:
    """Run the command that the command line names."""
    from irec.commands.app import main as run

    run(sys.argv[1:])


if __name__ == "__main__":
    main()
