"""The command `aiokv`, as `python -m aiokv` and as the script that the wheel brings."""

import os
import signal
import sys

from aiokv._aiokv import run_command


def main() -> None:
    """Runs the command on the arguments of this process, and ends the process."""
    _open_standard_streams()
    # The command runs outside of Python, whose handler of Ctrl-C would wait until it is done.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(run_command(["aiokv", *sys.argv[1:]]))


def _open_standard_streams() -> None:
    """Opens those that the process was started without.

    Otherwise the file of the store gets the number of one, and what the command prints stands in
    the file.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free. An editor inherits it.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


if __name__ == "__main__":
    main()
