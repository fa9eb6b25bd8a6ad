"""Preferences as pure functions: urgency, route plans, agent choice, blending."""
