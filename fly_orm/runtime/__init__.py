"""What one process knows of itself: its settings, its region, and its forwarder to other nodes.

Imports ``forwarding`` and the layers below it.
"""
