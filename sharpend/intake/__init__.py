"""Intake: from folders to settled files. Scanning is the truth, events are hints."""
