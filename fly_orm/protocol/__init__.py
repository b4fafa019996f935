"""What two nodes say to each other: the messages, and the handshake before them."""
