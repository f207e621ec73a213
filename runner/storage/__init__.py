"""What is kept on disk: the journal of tasks and events, and the followers of output files."""
