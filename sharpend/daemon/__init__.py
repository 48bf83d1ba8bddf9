"""The daemon: the main loop and the parts that it owns.

The plans translate the settings into plain values, and the assembly makes all parts of them. The
dispatcher claims jobs from the ledger for each folder, hands them to the workers as tasks, and the
outcomes of these are committed, retried or quarantined. Measurements are throughput and agreement.
The dispatcher's snapshot is what the periodic report and the status file are written from.
Maintenance is backups and retention. A state outage is the time in which ledger or quarantine
cannot be written. Signals and the service manager (`systemd`) steer and watch the loop; they and
the state outage are its surroundings, which a reload leaves alone.
"""
