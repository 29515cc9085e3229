"""Tests of the parts together, and the servers that all tests use."""
