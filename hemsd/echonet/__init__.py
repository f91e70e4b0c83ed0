"""The ECHONET Lite language: frames, objects, values and the meter class. Pure: no clock, no I/O."""
