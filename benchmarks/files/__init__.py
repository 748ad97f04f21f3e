"""`gate-batch` under hard treatment: killed at random moments."""
