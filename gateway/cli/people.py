"""Who runs a command."""

import os
import pwd


def os_user() -> str:
    """The user by whose right the process runs, whatever its environment says."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
