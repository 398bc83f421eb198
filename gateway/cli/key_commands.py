"""The commands `gateway key …`: what operators do with merchants' keys. The work is in `gateway.cli.keys`."""

from typing import Annotated

import typer

from gateway.cli.options import CONFIG, ConfigOption, group

key = group("Keys of merchants: make, list, rotate, revoke.", "gateway key list --merchant ASHA")

MerchantOption = Annotated[str, typer.Option(help="Its id or its keyword.")]
KeyArgument = Annotated[str, typer.Argument(help="The key's id, as `gateway key list` shows it.")]


@key.command("add")
def _add(
    merchant: MerchantOption,
    name: Annotated[str, typer.Option(help="What the merchant calls it, for instance: till 3.")],
    scope: Annotated[list[str], typer.Option(help="What it may do; several times for several scopes.")],
    mode: Annotated[str, typer.Option(help="test or live.")] = "test",
    expires_in_s: Annotated[int | None, typer.Option(help="Seconds until it ends; without it: never.")] = None,
    config: ConfigOption = CONFIG,
) -> None:
    """Make a key and print it, once: it is stored as a hash only.

    Example: gateway key add --merchant ASHA --mode live --name "till 3" --scope payments:write --scope payments:read
    """
    from gateway.cli import keys

    keys.add(config, merchant=merchant, mode=mode, name=name, scopes=scope, expires_in_s=expires_in_s)


@key.command("list")
def _list(merchant: MerchantOption, config: ConfigOption = CONFIG) -> None:
    """List the keys of a merchant that work.

    Example: gateway key list --merchant ASHA
    """
    from gateway.cli import keys

    keys.list_keys(config, merchant=merchant)


@key.command("rotate")
def _rotate(
    key_id: KeyArgument,
    overlap_s: Annotated[int, typer.Option(help="Seconds for which the old secret goes on working.")] = 86_400,
    config: ConfigOption = CONFIG,
) -> None:
    """Make a new key with the same name and scopes, print it once, and let the old one end.

    Example: gateway key rotate key_01ktz1c4hvf6mvd3gcn4e8xq2m --overlap-s 3600
    """
    from gateway.cli import keys

    keys.rotate(config, key_id=key_id, overlap_s=overlap_s)


@key.command("revoke")
def _revoke(key_id: KeyArgument, config: ConfigOption = CONFIG) -> None:
    """Revoke a key, whatever it is. Processes that serve take it for five seconds more at most.

    Example: gateway key revoke key_01ktz1c4hvf6mvd3gcn4e8xq2m
    """
    from gateway.cli import keys

    keys.revoke(config, key_id=key_id)
