"""The daemon: the main loop and the parts that it owns.

`settings_values` translates the settings to plain values, and `assembly` constructs all parts from
them. The dispatcher claims jobs from the ledger and submits them to the workers as tasks;
`outcomes` commits, retries or quarantines their results. Measurements are throughput and agreement.
`report` has the figures of the periodic report and of the status file, of which some come from the
dispatcher's snapshot. Maintenance is backups and retention. A state outage is the time in which
ledger or quarantine cannot be written. Signals, the service manager (`systemd`) and the state
outage form the process context, which outlives a reload.
"""
