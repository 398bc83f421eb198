"""The carriers: one file or folder a dialect, all behind the ports of `carriers.base`. None of them knows another."""
