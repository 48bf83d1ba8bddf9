"""Status page of a daemon, a process of its own: pages, previews, actions, probes, metrics."""
