"""Coverage-guided fuzzing: targets with their invariants, corpora, and how to run on."""
