"""What a Python backend does with PyJWT, driven by the tests.

Reads a JSON list of orders from stdin, writes the list of answers: {"ok": ...} or {"error": "ExceptionName"}.
"""
import json
import sys

import jwt


def verify(jwks, token, issuer, audience):
    """As a backend would, from the JWKS alone."""
    keys = jwt.PyJWKSet.from_dict(jwks)
    key = keys[jwt.get_unverified_header(token)["kid"]]
    required = ["iss", "aud", "sub", "jti", "iat", "exp", "gen", "seq", "auth_time"]
    return jwt.decode(
        token, key, algorithms=["EdDSA"], issuer=issuer, audience=audience, options={"require": required}
    )


def verify_hs256(secret_hex, token, issuer, audience):
    return jwt.decode(token, bytes.fromhex(secret_hex), algorithms=["HS256"], issuer=issuer, audience=audience)


def sign(alg, headers, claims, pem=None, secret_hex=None):
    key = pem if pem is not None else bytes.fromhex(secret_hex) if secret_hex is not None else None
    return jwt.encode(claims, key, algorithm=alg, headers=headers)


def new_pem():
    """A private key as Python programs write it."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    return key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()).decode()


ORDERS = {f.__name__: f for f in (verify, verify_hs256, sign, new_pem)}


def answer(order):
    try:
        return {"ok": ORDERS[order.pop("do")](**order)}
    except Exception as error:
        return {"error": type(error).__name__}


json.dump([answer(order) for order in json.load(sys.stdin)], sys.stdout)
