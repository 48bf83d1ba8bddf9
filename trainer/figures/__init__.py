"""What the trainer draws: the pipeline, pairs of pictures and a run's curves."""
