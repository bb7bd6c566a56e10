"""The life of one stage's process: its command line, its log, signals, memory, and what a failure says."""
