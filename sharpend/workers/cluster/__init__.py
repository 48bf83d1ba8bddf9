"""Workers on the nodes of a Ray cluster that the user started.

`raypool` is the daemon's side and implements `Workers`. It talks over two pipes to one child
process, the `driver` as Ray calls it: Ray ends this process when the cluster is gone, and the
daemon must outlive that. On each node an `actor` of Ray holds a local pool of one confined worker.
Every frame is bounded JSON, see `framing`.
"""
