"""Facts, read out of the probes and the catalogs."""
