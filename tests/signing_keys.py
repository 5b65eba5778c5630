"""Private signing keys for tests, in the form that `supabase gen signing-key` prints."""

from typing import Any

ALGORITHMS = ("ES256", "RS256")


def private_jwk(algorithm: str, id: str) -> dict[str, Any]:
    """A new private key."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from jwt.algorithms import ECAlgorithm, RSAAlgorithm

    found: dict[str, Any]
    if algorithm == "ES256":
        found = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()), as_dict=True)
    else:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        found = RSAAlgorithm.to_jwk(key, as_dict=True)
    return {**found, "kid": id, "use": "sig", "alg": algorithm, "key_ops": ["sign", "verify"]}
