"""Certificates for tests, made with the openssl command when they are needed."""

import dataclasses
import pathlib
import subprocess


@dataclasses.dataclass
class Certificate:
    certificate: pathlib.Path
    key: pathlib.Path


def _openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


class Authority:
    """A CA of its own, with its files in `folder`."""

    def __init__(self, folder, name="test authority"):
        self.folder = pathlib.Path(folder)
        self.certificate = self.folder / f"{name}.crt"
        self._key = self.folder / f"{name}.key"
        _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 30,
                 "-subj", f"/CN={name}", "-keyout", self._key, "-out", self.certificate)

    def issue(self, name, alternative_names="DNS:localhost,IP:127.0.0.1", days=30):
        made = Certificate(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        request, extensions = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={alternative_names}\n")
        _openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                 "-subj", f"/CN={name}", "-keyout", made.key, "-out", request)
        _openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial",
                 "-days", days, "-extfile", extensions, "-out", made.certificate)
        return made
