"""Time and memory: blocks, files, microphones, instructions, the plugin, a cold start."""
