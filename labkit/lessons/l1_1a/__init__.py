"""What lesson 1.1a uses: its judges and its experiment."""
