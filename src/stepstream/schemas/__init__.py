"""What is recorded: the typed models of episodes, steps, payloads, events and artifacts."""
