"""Puts hemsd in place as a system service, and takes it away again: look, plan, show, do."""
