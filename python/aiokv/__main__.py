"""The command `aiokv`, as `python -m aiokv` and as the script that the wheel brings."""

import signal
import sys

from aiokv._aiokv import run_command


def main() -> None:
    """Runs the command on the arguments of this process, and ends the process."""
    # The command runs outside of Python, whose handler of Ctrl-C would wait until it is done.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(run_command(["aiokv", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
