"""The carriers: one file or folder per dialect, all behind the ports of ``carriers.base``. None of them knows another."""
