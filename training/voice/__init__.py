"""The live voice detector, from mixing to export: `gate-train voice`."""
