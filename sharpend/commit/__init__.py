"""From a staged file to the output, the disposal of its source, or the quarantine."""
