"""Every picture and table that a person looks at."""
