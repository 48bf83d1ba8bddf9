"""Worker processes: the pool in the daemon, and the code that runs inside a worker.

A task is one attempt at one job. A slot of the pool is one process and one pipe, over which
requests and answers travel as bounded JSON messages; an answer is parsed and never unpickled. A
worker runs the pipeline (decode, measure, infer, encode) and writes a staged file, confined by
seccomp (`sandbox`) and by resource limits (`limits`). Another engine than local processes
implements the protocol `Workers`.
"""
