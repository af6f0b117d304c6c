"""What lesson 1.2d uses: its judges and its experiment."""
