"""Training, evaluation, metrics and calibration: plain functions."""
