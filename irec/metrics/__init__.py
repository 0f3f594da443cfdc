"""Metrics: exact bit counts; imports no other part of irec."""
