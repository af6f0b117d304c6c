"""What lesson 1.2c uses: its judges and its experiment."""
