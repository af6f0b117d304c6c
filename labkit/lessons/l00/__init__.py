"""What "Start here" uses: its judges and its experiment."""
