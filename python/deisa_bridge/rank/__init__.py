"""The bridge of a simulation in Python: libdeisa.so through ctypes. Nothing here imports Ray."""
