"""A designer without a language model: programs composed and mutated from documented quantities."""
