"""What lesson 1.1c uses: its judges and its experiment."""
