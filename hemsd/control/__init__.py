"""The one way to an appliance: checks wishes, makes commands of them, and sums up the house."""
