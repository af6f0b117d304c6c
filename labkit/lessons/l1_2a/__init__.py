"""What lesson 1.2a uses: its judges and its experiment."""
