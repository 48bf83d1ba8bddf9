"""Workers on the nodes of a Ray cluster that the user started.

`raypool` is the daemon's side and implements `Workers`. It talks over two pipes to one child
process, the ferry, which alone knows Ray's driver: Ray ends its driver's process when the cluster
is gone, and the daemon must outlive that. On each node a `hand`, an actor of Ray, holds a local
pool of one confined worker. Every frame is bounded JSON, see `frames`.
"""
