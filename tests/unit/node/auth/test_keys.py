import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from node.auth.keys import MAX_KEYS, KeyRing, from_jwks, from_pem, from_secrets
from tests.support.tokens import OTHER_SECRET, SECRET, jwk, jwks, private_pem, public_pem

ASYMMETRIC = ("RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA")


def algorithms(ring: KeyRing) -> set[str]:
    return {name for name in ASYMMETRIC if ring.candidates(name, None)}


class TestSecrets:
    def test_all_of_them_are_tried_in_order(self) -> None:
        ring = from_secrets([SECRET, OTHER_SECRET], ["HS256"])
        found = ring.candidates("HS256", "whatever")
        assert [key.material for key in found] == [SECRET.encode(), OTHER_SECRET.encode()]
        assert ring.candidates("RS256", None) == []

    @pytest.mark.parametrize(
        ("secrets", "algorithm", "words"),
        [
            (["x" * 31], "HS256", "has 31 bytes and needs at least 32"),
            (["x" * 47], "HS384", "at least 48"),
            (["x" * 63], "HS512", "`openssl rand -base64 64`"),
            ([SECRET, "x"], "HS256", "has 1 bytes"),
            ([], "HS256", "holds no secret"),
            ([public_pem("RS256").decode()], "HS256", "is no secret"),
        ],
    )
    def test_what_can_be_guessed_is_refused_and_not_repeated(
        self, secrets: list[str], algorithm: str, words: str
    ) -> None:
        with pytest.raises(ValueError, match=words) as caught:
            from_secrets(secrets, [algorithm])
        assert "xx" not in str(caught.value)

    def test_a_key_does_not_show_itself_when_it_is_printed(self) -> None:
        (key,) = from_secrets([SECRET], ["HS256"]).candidates("HS256", None)
        assert SECRET not in repr(key)


class TestPem:
    @pytest.mark.parametrize(
        ("algorithm", "fits"),
        [
            ("RS256", {"RS256", "PS256"}),
            ("ES256", {"ES256"}),
            ("ES384", {"ES384"}),
            ("ES512", {"ES512"}),
            ("EdDSA", {"EdDSA"}),
        ],
    )
    def test_a_key_is_only_for_algorithms_of_its_kind(self, algorithm: str, fits: set[str]) -> None:
        assert algorithms(from_pem(public_pem(algorithm), ASYMMETRIC)) == fits
        assert algorithms(from_pem(public_pem(algorithm), [algorithm])) == {algorithm}

    def test_a_file_may_hold_several(self) -> None:
        text = public_pem("ES256") + b"# the one before\n" + public_pem("ES256", 1)
        assert len(from_pem(text, ["ES256"])) == 2

    @pytest.mark.parametrize("algorithm", ASYMMETRIC)
    def test_a_private_key_is_refused_also_beside_a_public_one(self, algorithm: str) -> None:
        for text in (private_pem(algorithm), public_pem(algorithm) + private_pem(algorithm)):
            with pytest.raises(ValueError, match=r"private key.*openssl pkey -in FILE -pubout"):
                from_pem(text, ASYMMETRIC)

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            (b"", "no public key for RS256"),
            (b"hello", "no public key"),
            (public_pem("ES256"), "no public key for RS256"),
            (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "cannot be read"),
            (b"-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----", "openssl x509"),
            (public_pem("RS256") * (MAX_KEYS + 1), "more than 32 public keys"),
        ],
    )
    def test_a_file_without_a_usable_key_is_refused(self, text: bytes, words: str) -> None:
        with pytest.raises(ValueError, match=words):
            from_pem(text, ["RS256"])

    def test_an_rsa_key_that_can_be_broken_does_not_count(self) -> None:
        short = rsa.generate_private_key(65_537, 1_024).public_key()
        text = short.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        with pytest.raises(ValueError, match="no public key"):
            from_pem(text, ["RS256"])


class TestJwkSet:
    def test_a_token_is_tried_with_the_key_it_names(self) -> None:
        ring = from_jwks(jwks(jwk("ES256", "a"), jwk("ES256", "b", 1), jwk("EdDSA")), ASYMMETRIC)
        assert [key.kid for key in ring.candidates("ES256", "b")] == ["b"]
        assert [key.kid for key in ring.candidates("ES256", None)] == ["a", "b"]
        assert [key.kid for key in ring.candidates("EdDSA", "c")] == [None]
        assert ring.candidates("ES256", "c") == []
        assert ring.candidates("RS256", "a") == []

    @pytest.mark.parametrize(
        ("fields", "counts"),
        [
            ({"use": "sig"}, True),
            ({"key_ops": ["verify"]}, True),
            ({"alg": "RS256"}, True),
            ({"use": "enc"}, False),
            ({"key_ops": ["encrypt"]}, False),
            ({"key_ops": "verify"}, False),
            ({"alg": "PS256"}, False),
            ({"alg": "RSA-OAEP"}, False),
            ({"alg": "none"}, False),
            ({"alg": "HS256"}, False),
            ({"alg": 7}, False),
            ({"kty": "oct", "k": "c2VjcmV0"}, False),
            ({"kty": "EC"}, False),
            ({"n": "AA"}, False),
            ({"n": 7}, False),
            ({"e": "AA"}, False),
        ],
    )
    def test_only_keys_for_our_signatures_count(self, fields: dict[str, Any], counts: bool) -> None:
        ring = from_jwks(jwks(jwk("ES256"), jwk("RS256", "it", **fields)), ["RS256", "ES256"])
        assert bool(ring.candidates("RS256", "it")) is counts

    def test_one_that_publishes_a_private_key_is_refused_whole(self) -> None:
        with pytest.raises(ValueError, match="publishes a private key"):
            from_jwks(jwks(jwk("ES256"), jwk("ES256", d="AA")), ASYMMETRIC)

    @pytest.mark.parametrize(
        "document",
        [
            b"",
            b"\xff",
            b"null",
            b"[]",
            b"{}",
            b'{"keys":{}}',
            b'{"keys":[]}',
            b'{"keys":[7,null,"x"]}',
            b'{"keys":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
            json.dumps({"keys": [jwk("ES256")] * 33}).encode(),
        ],
    )
    def test_what_is_no_set_for_us_is_refused(self, document: bytes) -> None:
        with pytest.raises(ValueError, match=r"^(is no JWK set|has no)"):
            from_jwks(document, ASYMMETRIC)
