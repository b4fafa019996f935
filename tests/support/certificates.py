"""Certificates for tests: an authority, and what it or another one has issued."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fly_orm.cli.issuing import Authority
from fly_orm.protocol.tls import Tls, TlsFiles
from fly_orm.settings import Settings


class Certificates:
    """A folder of certificates of one authority."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.authority = Authority.in_folder(folder)
        self.issue("node")

    def issue(self, name: str, *, days: float = 1) -> None:
        """Issue a certificate, or another one under the same name. It has expired if ``days`` are negative."""
        self.authority.issue(self.folder, name, days=days)

    def files(self, name: str = "node", *, authority: Certificates | None = None) -> TlsFiles:
        """The files of one certificate; ``authority`` is the one to trust, if that is another."""
        trusted = (authority or self).folder / "ca.pem"
        return TlsFiles(
            certificate=str(self.folder / f"{name}.pem"), key=str(self.folder / f"{name}.key"), authority=str(trusted)
        )

    def tls(self, name: str = "node", **given: Any) -> Tls:
        """TLS with one certificate."""
        return Tls(self.files(name, **given))

    def settings(self, name: str = "node", **given: Any) -> dict[str, str]:
        """The settings of a process that has one certificate."""
        return settings_of(self.files(name, **given))


class Installed(Certificates):
    """The folder of a process, whose certificate and authorities are exchanged."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder

    def install(self, certificate: Certificates, *trusted: Certificates) -> None:
        """Replace the certificate, its key, and the authorities, one file after the other."""
        for name in ("node.key", "node.pem"):
            self.replace(name, (certificate.folder / name).read_bytes())
        self.replace("ca.pem", b"".join((each.folder / "ca.pem").read_bytes() for each in trusted))

    def replace(self, name: str, content: bytes) -> None:
        """Replace one file."""
        made = self.folder / "new"
        made.write_bytes(content)
        made.replace(self.folder / name)


def settings_of(files: TlsFiles) -> dict[str, str]:
    """The settings that name these files."""
    return {"tls_cert": files.certificate, "tls_key": files.key, "tls_ca": files.authority}


def variables_of(files: TlsFiles) -> dict[str, str]:
    """The variables that name these files."""
    return {f"FLY_ORM_{name.upper()}": path for name, path in settings_of(files).items()}


def transport_in(factory: Any, **settings: Any) -> Any:
    """A transport with these settings."""
    return factory(Settings(**settings))
