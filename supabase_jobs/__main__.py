"""`supabase-jobs`, and `python -m supabase_jobs`."""

import signal


def main() -> None:
    """Run the command line. Until its imports end, Ctrl-C ends the process by the signal, without a
    traceback.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from supabase_jobs import cli

    cli.main()


if __name__ == "__main__":
    main()
