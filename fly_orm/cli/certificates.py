"""``fly-orm certificates``: makes the certificates for TLS between nodes, and renews them."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from ..errors import ConfigurationError
from .output import show

NAME = "certificates"
HELP = "make certificates for TLS between nodes, or renew them"

#: Days for which a certificate is valid, unless the command says otherwise, and the most.
DAYS, MOST_DAYS = 90, 3650
_NAME = re.compile(r"\w[\w.-]{0,62}", re.ASCII)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare whom to issue certificates to."""
    parser.add_argument(
        "names", nargs="+", metavar="NAME", type=_name, help="what a certificate is for, such as a region or a machine"
    )
    parser.add_argument(
        "--folder", type=Path, default=Path("certificates"), help="where the files are (default: certificates)"
    )
    parser.add_argument(
        "--days",
        type=_days,
        default=DAYS,
        help=f"for how many days they are valid, 1 to {MOST_DAYS} (default: {DAYS})",
    )


def _name(text: str) -> str:
    if not _NAME.fullmatch(text) or text == "ca":
        raise argparse.ArgumentTypeError(
            f"{text!r:.100}: a name has letters, digits, '_', '.' and '-', at most 63 of them, and is not 'ca'"
        )
    return text


def _days(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_DAYS:
        raise argparse.ArgumentTypeError(f"{text!r:.100}: write a number of days between 1 and {MOST_DAYS}")
    return int(text)


def run(options: argparse.Namespace) -> int:
    """Issue a certificate for each name, by the authority in the folder, which is made if there is none.

    ConfigurationError if the extra that this needs is not installed, or the folder cannot be used.
    """
    try:
        from .issuing import Authority
    except ImportError:
        raise ConfigurationError(
            "certificates are made with cryptography, which is not installed: pip install 'cryptography>=42'"
        ) from None
    try:
        options.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        authority = Authority.in_folder(options.folder)
        for name in options.names:
            authority.issue(options.folder, name, days=options.days)
    except OSError as error:
        raise ConfigurationError(f"cannot use the folder {str(options.folder)!r}: {error}") from error
    _print_settings(options.folder, options.names)
    return 0


def _print_settings(folder: Path, names: list[str]) -> None:
    for name in names:
        show(f"FLY_ORM_TLS_CERT={folder / name}.pem FLY_ORM_TLS_KEY={folder / name}.key FLY_ORM_TLS_CA={folder}/ca.pem")
    show(f"Keep {folder}/ca.key off the nodes: anyone who has it can issue certificates.")
