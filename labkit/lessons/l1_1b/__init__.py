"""What lesson 1.1b uses: its judges and its experiments."""
