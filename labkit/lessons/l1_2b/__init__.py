"""What lesson 1.2b uses: its judges and its experiment."""
