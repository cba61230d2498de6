"""Studies: methods, environments and seeds from one file, with a rule for what counts as a pass."""
