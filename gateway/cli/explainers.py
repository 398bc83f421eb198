"""The commands that explain: `pdu decode`, `sms explain`, `reply explain`, `explain`, and `payment show`.

Each prints one JSON object; with `-` one for each line of standard input. Each imports what it needs when it runs.
"""

from typing import Annotated

import typer

from gateway.cli.options import CONFIG, ConfigOption, group

_MANY = "`-`: one a line from standard input."


pdu = group("PDUs of SMPP 3.4.", 'gateway pdu decode "00000010 00000015 00000000 00000001"')
sms = group("Texts as they leave.", 'gateway sms explain "Karibu"')
reply = group("Replies of phones.", 'gateway reply explain "yes 4821" --code 4821')
payment = group("Payments, for operators.", "gateway payment show pay_06a2kq4zq5rzcaz4d0p8w1m7ge")


@pdu.command("decode")
def _pdu_decode(
    octets: Annotated[str, typer.Argument(metavar="HEX", help=f"One PDU; blanks and colons may stand in it. {_MANY}")],
) -> None:
    """Show the fields of a PDU, as one JSON object.

    What the gateway would refuse gives `error`, with what was expected, beside what can be read; exit code 2.

    Example: gateway pdu decode "00000010 00000015 00000000 00000001"
    """
    from gateway.cli.lines import answer
    from gateway.cli.pdus import explain_pdu

    answer(octets, explain_pdu)


@sms.command("explain")
def _sms_explain(
    text: Annotated[str, typer.Argument(metavar="TEXT", help=f"A text for a phone. {_MANY}")],
) -> None:
    """Show alphabet, units and parts of a text, with the octets of each part, as one JSON object.

    Example: gateway sms explain "Karibu"
    """
    from gateway.cli.lines import answer
    from gateway.cli.sms_text import explain_text

    answer(text, explain_text)


@reply.command("explain")
def _reply_explain(
    text: Annotated[str, typer.Argument(metavar="TEXT", help=f"What a phone sent. {_MANY}")],
    code: Annotated[str, typer.Option(help="The live code of the payment that waits.")],
    waiting: Annotated[
        int, typer.Option(min=0, max=100, help="How many payments wait in all; the others have other codes.")
    ] = 1,
) -> None:
    """Show what a reply means to the gateway, and why, as one JSON object.

    Example: gateway reply explain "yes 4821" --code 4821

    Example: gateway reply explain - --code 4821 --waiting 2 < replies.txt
    """
    from gateway.cli.lines import answer
    from gateway.cli.replies import explainer

    answer(text, explainer(code, waiting))


def explain(
    code: Annotated[str, typer.Argument(metavar="CODE", help=f"As it stands in an answer, payment or event. {_MANY}")],
) -> None:
    """Show what an error code, a reason, a state or an event type means and what to do, as one JSON object.

    Example: gateway explain insufficient_funds
    """
    from gateway.cli.codes import explain_code
    from gateway.cli.lines import answer

    answer(code, explain_code)


@payment.command("show")
def _payment_show(
    payment_id: Annotated[str, typer.Argument(metavar="ID", help="Of any merchant's payment.")],
    config: ConfigOption = CONFIG,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Show the nine steps of a payment, all that is on record, and what went over the wire. Reads only.

    Example: gateway payment show pay_06a2kq4zq5rzcaz4d0p8w1m7ge --config gateway.toml
    """
    from gateway.cli.payment import show

    show(config, payment_id, as_json=as_json)
