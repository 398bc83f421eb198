"""How a gateway is told of the operator that knows how old SIMs are."""

from typing import Any

from simulators.world import World


def operator(world: World) -> dict[str, Any]:  # Any: TOML of a hook.
    at = world.sim.server.url
    return {
        "type": "sim_swap",
        "base_url": f"{at}/sim-swap/v2",
        "token_url": f"{at}/oauth2/token",
        "client_id": world.sim.settings.user,
        "client_secret": world.sim.settings.password,
        "timeout_s": 0.5,
    }
