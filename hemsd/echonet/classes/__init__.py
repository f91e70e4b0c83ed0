"""Every class of device in the ECHONET Appendix: its properties as data, and what they mean to a house."""
