"""Agreement: calibration and trial of the alarm by which the daemon detects a damaged student.

A sample compares student and teacher on one crop, as the daemon does it. The residual ratio is the
student's squared difference to the teacher over that of doing nothing, pooled over a window of
samples; a line is the threshold that raises the alarm. `lines` computes the lines from samples of a
healthy student, `streams` draws sequences of samples and counts false alarms and delays.
"""
