"""Structured logging: the events, the log that writes them, and its rate limit.

An event is a name of the form `noun.past_participle` with key-value pairs; the enumeration of all
events is a stable contract, and a reference describes their levels and keys. The log writes each as
one line, as JSON, for journald or for a terminal, and never raises. The rate limit counts repeated
failures and writes one line for them.
"""
