"""The command line: one file a command, each thin over the stages, which are imported when a command runs."""
