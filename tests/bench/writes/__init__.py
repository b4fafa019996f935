"""What a write costs: latency, throughput, processor time and round trips."""
