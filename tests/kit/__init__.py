"""What several tests need to drive the real thing: a recorder in processes of its own, SIPp, audio readers."""
