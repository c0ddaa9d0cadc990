import asyncio
import base64
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import pytest

from node.auth.gate import Scope
from node.auth.jwt import TokenGate, payload_of, read_keys
from node.auth.keys import from_jwks, from_secrets
from node.identity import Identity
from router.counts import Counts
from router.errors import InvalidSettings, Unauthenticated
from router.settings import AuthSettings
from tests.support.keyserver import KeyServer
from tests.support.requests import handshake
from tests.support.tokens import (
    OTHER_SECRET,
    SECRET,
    claims,
    forged,
    jwk,
    jwks,
    private_pem,
    public_pem,
    signed_for,
    token,
)
from tests.support.waiting import eventually

ASYMMETRIC = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"]
HS256 = {"mode": "jwt", "secret": SECRET}
ENTRY = "Sec-WebSocket-Protocol"


def gate(settings: dict[str, Any]) -> TokenGate:
    return TokenGate(
        AuthSettings.model_validate(settings),
        authorize=lambda request, scope: None,
        allows_origin=lambda request: True,
        counts=Counts(),
    )


async def who(text: str, settings: dict[str, Any] | None = None) -> Identity:
    return await gate(settings or HS256).identify(
        handshake("", ("Authorization", f"Bearer {text}"))
    )


async def refusal(text: str, settings: dict[str, Any] | None = None) -> str:
    with pytest.raises(Unauthenticated) as caught:
        await who(text, settings)
    words = str(caught.value)
    assert SECRET not in words
    assert text == "" or text not in words
    return words


def with_key(tmp_path: Path, algorithm: str, **more: Any) -> dict[str, Any]:
    file = tmp_path / "public.pem"
    file.write_bytes(public_pem(algorithm))
    return {"mode": "jwt", "algorithms": [algorithm], "key_file": str(file), **more}


class TestKinds:
    @pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
    async def test_a_secret(self, algorithm: str) -> None:
        settings = {**HS256, "algorithms": [algorithm]}
        assert (await who(token(algorithm=algorithm), settings)).user == "alice"
        assert "signature is wrong" in await refusal(
            token(algorithm=algorithm, key=OTHER_SECRET), settings
        )

    @pytest.mark.parametrize("algorithm", [*ASYMMETRIC, "EdDSA"])
    async def test_a_public_key(self, algorithm: str, tmp_path: Path) -> None:
        settings = with_key(tmp_path, algorithm)
        assert (await who(signed_for(algorithm), settings)).user == "alice"
        if algorithm in {"RS256", "ES256", "EdDSA"}:
            words = await refusal(signed_for(algorithm, 1), settings)
            assert "signature is wrong" in words

    async def test_several_secrets_count_at_once(self, tmp_path: Path) -> None:
        file = tmp_path / "secrets"
        file.write_text(f"{OTHER_SECRET}\n\n{SECRET}\n")
        from_file = {"mode": "jwt", "secret_file": str(file)}
        in_settings = {"mode": "jwt", "secret": OTHER_SECRET, "previous_secrets": [SECRET]}
        for settings in (from_file, in_settings):
            for secret in (SECRET, OTHER_SECRET):
                assert (await who(token(key=secret), settings)).user == "alice"

    async def test_several_algorithms_of_one_family(self, tmp_path: Path) -> None:
        file = tmp_path / "keys.json"
        file.write_bytes(jwks(jwk("ES256", "a"), jwk("EdDSA", "b")))
        settings = {"mode": "jwt", "algorithms": ["ES256", "EdDSA"], "jwks_file": str(file)}
        for algorithm, kid in (("ES256", "a"), ("EdDSA", "b")):
            signed = signed_for(algorithm, headers={"kid": kid})
            assert (await who(signed, settings)).user == "alice"
        swapped = signed_for("ES256", headers={"kid": "b"})
        assert "a key nobody knows here" in await refusal(swapped, settings)

    async def test_a_kid_of_a_token_with_a_secret_does_not_matter(self) -> None:
        assert (await who(token(headers={"kid": "2024-1"}))).user == "alice"


class TestForgeries:
    @pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "", "HS384", "RS256", None, 7])
    async def test_another_algorithm_than_that_of_the_settings(self, alg: Any) -> None:
        for signature in (b"", b"x" * 32):
            words = await refusal(forged({"alg": alg, "typ": "JWT"}, claims(), signature))
            assert "not signed as auth.algorithms says" in words

    async def test_no_algorithm(self) -> None:
        assert "not signed as" in await refusal(forged({"typ": "JWT"}, claims()))
        assert "not signed as" in await refusal(forged({"alg": ["HS256"]}, claims()))

    @pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
    async def test_a_public_key_used_as_a_secret(self, algorithm: str, tmp_path: Path) -> None:
        settings = with_key(tmp_path, algorithm)
        for secret in (public_pem(algorithm), public_pem(algorithm).strip(), b""):
            for said in ("HS256", algorithm):
                signing_input = forged({"alg": said}, claims()).rsplit(".", 1)[0]
                mac = hmac.digest(secret, signing_input.encode(), hashlib.sha256)
                signature = base64.urlsafe_b64encode(mac).rstrip(b"=").decode()
                await refusal(f"{signing_input}.{signature}", settings)

    async def test_a_key_that_the_token_brings_itself(self, tmp_path: Path) -> None:
        settings = with_key(tmp_path, "ES256")
        async with KeyServer(jwk("ES256", "mine", 1)) as server:
            for header in (
                {"jwk": jwk("ES256", "mine", 1)},
                {"jku": server.url, "kid": "mine"},
                {"x5u": server.url},
                {"x5c": ["MIIB"]},
            ):
                words = await refusal(signed_for("ES256", 1, headers=header), settings)
                assert "signature is wrong" in words
            assert server.asked == 0

    @pytest.mark.parametrize(
        "kid",
        [
            "../../../../dev/null",
            "/dev/null",
            "file:///etc/passwd",
            "a' UNION SELECT 'x",
            "a\x00",
            "*",
            "",
            "a" * 2_000,
        ],
    )
    async def test_a_kid_is_only_looked_up_among_our_keys(self, kid: str, tmp_path: Path) -> None:
        file = tmp_path / "keys.json"
        file.write_bytes(jwks(jwk("ES256", "a")))
        settings = {"mode": "jwt", "algorithms": ["ES256"], "jwks_file": str(file)}
        words = await refusal(signed_for("ES256", headers={"kid": kid}), settings)
        assert words == "token: it is signed by a key nobody knows here"
        await refusal(token(key=OTHER_SECRET, headers={"kid": kid}), HS256)

    @pytest.mark.parametrize("kid", [7, None, ["a"], {"a": 1}])
    async def test_a_kid_is_text(self, kid: Any) -> None:
        header = {"alg": "HS256", "kid": kid}
        assert "no JWT" in await refusal(forged(header, claims()))

    @pytest.mark.parametrize(
        "header",
        [{"crit": ["b64"], "b64": False}, {"crit": ["exp"]}, {"crit": []}, {"b64": True}],
    )
    async def test_extensions(self, header: dict[str, Any]) -> None:
        words = await refusal(forged({"alg": "HS256", **header}, claims()))
        assert "crit" in words or "no JWT" in words

    async def test_every_changed_byte(self) -> None:
        good = token()
        for at in range(0, len(good), 7):
            changed = "A" if good[at] != "A" else "B"
            await refusal(good[:at] + changed + good[at + 1 :])

    @pytest.mark.parametrize(
        "text",
        [
            "x",
            ".",
            "..",
            "...",
            "a.b.c",
            "{}.{}.{}",
            "é.é.é",
            "💣",
            "a b.c.d",
            "e30.e30.",
            "bnVsbA.bnVsbA.",
            "W10.W10.",
            "!" * 100,
        ],
    )
    async def test_what_is_no_token(self, text: str) -> None:
        with pytest.raises(Unauthenticated, match="token: it is"):
            await gate(HS256).renew(text)

    async def test_a_header_that_never_ends(self) -> None:
        deep = base64.urlsafe_b64encode(b'{"alg":' + b"[" * 2_900).rstrip(b"=").decode()
        assert "no JWT" in await refusal(f"{deep}.e30.AAAA")

    async def test_more_than_4_kib(self) -> None:
        assert "more than 4096 characters" in await refusal(token(padding="x" * 4_096))
        assert (await who(token(padding="x" * 2_800))).user == "alice"


class TestSaid:
    """One of each; `test_claims` has the table."""

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"exp": int(time.time()) - 60}, "expired"),
            ({"nbf": int(time.time()) + 3_600}, "not valid yet"),
            ({"exp": None}, "`exp`"),
            ({"iat": None}, "`iat`"),
            ({"sub": None}, "`sub`"),
            ({"aud": "mail"}, "aud"),
            ({"iss": "me"}, "iss"),
        ],
    )
    async def test_what_does_not_count_here_and_now(
        self, fields: dict[str, Any], words: str
    ) -> None:
        settings = {**HS256, "audience": "chat", "issuer": "id"}
        assert words in await refusal(token(**{"aud": "chat", "iss": "id", **fields}), settings)

    async def test_what_the_settings_give(self) -> None:
        identity = await who(token(), {**HS256, "can": [], "to": ["team-*"]})
        assert identity.rights == frozenset()
        assert "team-1" in identity.to
        assert "bob" not in identity.to


class TestWhere:
    async def test_no_token_at_all_says_how_to_send_one(self) -> None:
        with pytest.raises(Unauthenticated, match=r"no token: send one in the header"):
            await gate(HS256).identify(handshake("?user=alice"))

    async def test_in_the_header_and_as_a_subprotocol(self) -> None:
        for header in (
            ("Authorization", f"Bearer {token()}"),
            (ENTRY, f"switchboard.v1.json, switchboard.bearer.{token()}"),
        ):
            assert (await gate(HS256).identify(handshake("", header))).user == "alice"

    async def test_in_the_query_only_if_it_ends_soon(self) -> None:
        brief, long = handshake(f"?token={token(life_s=240)}"), handshake(f"?token={token()}")
        assert (await gate(HS256).identify(brief)).user == "alice"
        with pytest.raises(Unauthenticated, match=r"may not stand in the query.*at most 300 s"):
            await gate(HS256).identify(long)
        assert (await gate({**HS256, "query_token_s": 4_000}).identify(long)).user == "alice"
        with pytest.raises(Unauthenticated, match="may not stand in the query"):
            await gate({**HS256, "query_token_s": 0}).identify(brief)

    async def test_the_user_in_the_query_is_not_asked(self) -> None:
        request = handshake("?user=root", ("Authorization", f"Bearer {token()}"))
        assert (await gate(HS256).identify(request)).user == "alice"


class TestKeysAtAnAddress:
    async def test_a_key_is_used_as_soon_as_a_token_names_it(self) -> None:
        async with KeyServer(jwk("ES256", "a")) as server:
            settings = {"mode": "jwt", "algorithms": ["ES256"], "jwks_url": server.url}
            keeper = gate(settings)
            assert keeper.refresher is not None
            assert "could not be fetched yet" in str(keeper.not_ready())
            task = asyncio.ensure_future(keeper.refresher())
            await eventually(lambda: keeper.not_ready() is None)
            old = signed_for("ES256", headers={"kid": "a"})
            new = signed_for("ES256", 1, headers={"kid": "b"})
            assert (await keeper.renew(old)).user == "alice"
            server.body = jwks(jwk("ES256", "b", 1))
            keeper._keys._again_s = 0.0  # type: ignore[attr-defined]
            assert (await keeper.renew(new)).user == "alice"
            with pytest.raises(Unauthenticated, match="a key nobody knows"):
                await keeper.renew(old)
            asked = server.asked
            for header in ({"alg": "none", "kid": "c"}, {"alg": "HS256", "kid": "c"}):
                with pytest.raises(Unauthenticated, match="not signed as"):
                    await keeper.renew(forged(header, claims()))
            with pytest.raises(Unauthenticated, match="signature is wrong"):
                await keeper.renew(signed_for("ES256"))
            assert server.asked == asked
            task.cancel()
            await asyncio.wait([task])


class TestSettings:
    @pytest.mark.parametrize(
        ("name", "algorithm", "content", "words"),
        [
            ("secret_file", "HS256", b"short", "has 5 bytes and needs at least 32"),
            ("secret_file", "HS256", b"\n", "auth.secret_file holds no secret"),
            ("secret_file", "HS256", b"\xff" * 40, "auth.secret_file is not text"),
            ("secret_file", "HS256", None, "auth.secret_file: No such file or directory"),
            ("key_file", "RS256", None, "auth.key_file: No such file"),
            ("key_file", "RS256", private_pem("RS256"), "auth.key_file holds a private key"),
            ("key_file", "RS256", public_pem("ES256"), "has no public key for RS256"),
            ("jwks_file", "ES256", b"{}", "auth.jwks_file is no JWK set"),
        ],
    )
    def test_a_file_that_will_not_do_stops_the_start(
        self, tmp_path: Path, name: str, algorithm: str, content: bytes | None, words: str
    ) -> None:
        file = tmp_path / "file"
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(InvalidSettings) as caught:
            gate({"mode": "jwt", "algorithms": [algorithm], name: str(file)})
        (problem,) = caught.value.problems
        assert words in problem
        assert "\n" not in problem

    async def test_secrets_change_without_a_new_start(self, tmp_path: Path) -> None:
        file = tmp_path / "secret"
        file.write_text(SECRET)
        settings = AuthSettings.model_validate({"mode": "jwt", "secret_file": str(file)})
        keeper = gate({"mode": "jwt", "secret_file": str(file)})
        file.write_text(OTHER_SECRET)
        assert (await keeper.renew(token())).user == "alice"
        keeper.reload(settings.model_copy(update={"can": ()}))
        with pytest.raises(Unauthenticated):
            await keeper.renew(token())
        assert (await keeper.renew(token(key=OTHER_SECRET))).rights == frozenset()
        file.write_text("short")
        with pytest.raises(InvalidSettings):
            keeper.reload(settings)
        assert (await keeper.renew(token(key=OTHER_SECRET))).user == "alice"

    def test_secrets_are_not_shown_when_they_are_printed(self) -> None:
        settings = AuthSettings.model_validate({**HS256, "previous_secrets": [OTHER_SECRET]})
        assert "secret of the tests" not in f"{settings!r} {settings} {read_keys(settings)!r}"


def test_one_key_of_many_is_found_by_the_signature() -> None:
    ring = from_jwks(jwks(*(jwk("ES256", str(n), n) for n in range(3))), ["ES256"])
    signed = signed_for("ES256", 2)
    assert json.loads(payload_of(signed, ring, ["ES256"]))["sub"] == "alice"
    with pytest.raises(Unauthenticated, match="signature is wrong"):
        payload_of(signed_for("ES256", 3), ring, ["ES256"])
    with pytest.raises(Unauthenticated, match="not signed as"):
        payload_of(token(), from_secrets([SECRET], ["HS256"]), ["HS384"])


def test_calls_and_pages_are_for_others_to_decide() -> None:
    asked: list[object] = []
    keeper = TokenGate(
        AuthSettings.model_validate(HS256),
        authorize=lambda request, scope: asked.append(scope),
        allows_origin=lambda request: False,
        counts=Counts(),
    )
    keeper.authorize(handshake(), Scope.KICK)
    assert asked == [Scope.KICK]
    assert keeper.allows_origin(handshake()) is False
