"""Gates taught by example: `gate-learn`, profiles, correction while running."""
