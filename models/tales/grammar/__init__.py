"""The seeded grammar from which the Tales corpus is written."""
