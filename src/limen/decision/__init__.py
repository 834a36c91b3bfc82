"""Floor 5: what a score means: calibration, and enrolment of people behind a gate of quality."""
