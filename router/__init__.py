"""The blended work router."""
