"""Agreement: calibration and test of the alarm by which the daemon detects a damaged student.

A sample compares student and teacher on one crop, as the daemon does it. The residual ratio is the
student's squared difference to the teacher over that of doing nothing, pooled over a window of
samples. `thresholds` computes the thresholds of the alarm from samples of a healthy student,
`streams` draws sequences of samples and counts false alarms and delays.
"""
