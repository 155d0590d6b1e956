"""The node actor of deisa-bridge: takes chunks from the ranks of a node and announces them to deisa-ray.

Importing the package imports nothing else, so that processes which need a part of it start fast.
"""

__version__ = "0.2.0"
