"""The wires: everything that touches hardware or the kernel. Knows nothing of hemsd."""
