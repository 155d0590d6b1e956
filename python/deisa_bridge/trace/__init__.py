"""The file that DEISA_TRACE names: `python -m deisa_bridge.trace FILE` sums it up."""
