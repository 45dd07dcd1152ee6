"""Measured against tcpdump, tshark, dpkt and scapy on the same file; see README.md."""
