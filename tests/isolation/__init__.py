"""The house of these tests ends with them: a fixture of a package needs this file."""
