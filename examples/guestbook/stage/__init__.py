"""What runs the guest book in three regions on one machine: servers, nodes, the network, and the control room."""
