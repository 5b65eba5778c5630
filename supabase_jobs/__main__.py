"""`supabase-jobs`, and `python -m supabase_jobs`."""

import gc
import signal


def main() -> None:
    """Run the command line. Until its imports end, Ctrl-C ends the process by the signal, without a
    traceback.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    # each import would look for cycles among all objects of the ones before
    gc.set_threshold(50_000)
    from supabase_jobs import cli

    try:
        cli.main()
    finally:
        gc.freeze()  # Python looks for cycles once more when it ends, which frees nothing we need


if __name__ == "__main__":
    main()
