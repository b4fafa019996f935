"""What two nodes say to each other: the messages, and the handshake that precedes them."""
