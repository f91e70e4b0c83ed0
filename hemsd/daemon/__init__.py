"""Composition: configuration, credentials, state, supervision, and what the service manager is told."""
