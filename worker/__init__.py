"""The worker: a process that answers the chat's calls."""
