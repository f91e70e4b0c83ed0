"""The dedicated home networks: appliances found, understood, watched and set over ECHONET Lite."""
