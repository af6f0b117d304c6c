"""What lesson 1.1d uses: its judges and its experiments."""
