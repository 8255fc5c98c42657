"""What leaves the history for analysis and training."""
