"""The command line: one file per command. A command parses and prints; it imports the stages when it runs."""
