"""Gates taught by example, tested on other recordings."""
