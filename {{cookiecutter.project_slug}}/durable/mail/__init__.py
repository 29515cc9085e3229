"""Durable email: a row first, then a worker that delivers it."""
