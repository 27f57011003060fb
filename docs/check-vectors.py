#!/usr/bin/env python3
"""Computes the test vectors of docs/protocol.md from their inputs, without any code of Sandhog.

Needs Python 3.9 and the package `cryptography` 45 or later (X25519, ChaCha20-Poly1305, AES-GCM, Argon2id). This file
implements OPAQUE (RFC 9807), its OPRF (RFC 9497) and ristretto255 (RFC 9496) itself. The code is for reading only: it does
not run in constant time.

    python3 docs/check-vectors.py [FILE...]         default: the files secure*.json in proto/tests/vectors
"""

import hashlib
import hmac
import ipaddress
import json
import pathlib
import sys
import unicodedata

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

# --- hashes -----------------------------------------------------------------------------------------------------------


def sha512(data):
    return hashlib.sha512(data).digest()


def mac(key, data):
    return hmac.new(key, data, hashlib.sha512).digest()


def extract(salt, ikm):
    return mac(salt or bytes(64), ikm)


def expand(prk, info, length):
    out, block, n = b"", b"", 1
    while len(out) < length:
        block = mac(prk, block + info + bytes([n]))
        out, n = out + block, n + 1
    return out[:length]


def be(number, size):
    return number.to_bytes(size, "big")


def vec(data):
    return be(len(data), 2) + data


# --- ristretto255, RFC 9496 -------------------------------------------------------------------------------------------

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)


def is_negative(x):
    return x % P & 1


def absolute(x):
    return -x % P if is_negative(x) else x % P


def sqrt_ratio(u, v):
    r = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    check = v * r * r % P
    was_square = check == u % P or check == -u % P
    if check == -u % P or check == -u * SQRT_M1 % P:
        r = r * SQRT_M1 % P
    return was_square, absolute(r)


INVSQRT_A_MINUS_D = sqrt_ratio(1, -1 - D)[1]
SQRT_AD_MINUS_ONE = 25063068953384623474111414158702152701244531502492656460079210482610430750235


def decode(data):
    s = int.from_bytes(data, "little")
    assert s < P and not s & 1, "not a group element"
    ss = s * s % P
    u1, u2 = 1 - ss, 1 + ss
    v = (-(D * u1 * u1) - u2 * u2) % P
    ok, inv = sqrt_ratio(1, v * u2 * u2)
    x = absolute(2 * s * inv * u2)
    y = u1 * inv * inv * u2 * v % P
    t = x * y % P
    assert ok and not is_negative(t) and y, "not a group element"
    return x, y, 1, t


def encode(point):
    x0, y0, z0, t0 = point
    u1, u2 = (z0 + y0) * (z0 - y0) % P, x0 * y0 % P
    _, inv = sqrt_ratio(1, u1 * u2 * u2)
    den1, den2 = inv * u1 % P, inv * u2 % P
    z_inv = den1 * den2 * t0 % P
    x, y, den = x0, y0, den2
    if is_negative(t0 * z_inv):
        x, y, den = y0 * SQRT_M1 % P, x0 * SQRT_M1 % P, den1 * INVSQRT_A_MINUS_D % P
    if is_negative(x * z_inv):
        y = -y % P
    return absolute(den * (z0 - y)).to_bytes(32, "little")


def add(p, q):
    (x1, y1, z1, t1), (x2, y2, z2, t2) = p, q
    a, b = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    c, d = 2 * t1 * t2 * D % P, 2 * z1 * z2 % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def multiply(scalar, point):
    out = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            out = add(out, point)
        point, scalar = add(point, point), scalar >> 1
    return out


def elligator(data):
    r0 = int.from_bytes(data, "little") % 2**255
    r = SQRT_M1 * r0 * r0 % P
    u, v = (r + 1) * (1 - D * D) % P, (-1 - r * D) * (r + D) % P
    was_square, s = sqrt_ratio(u, v)
    c = P - 1
    if not was_square:
        s, c = -absolute(s * r0) % P, r
    n = (c * (r - 1) * (D - 1) ** 2 - v) % P
    w0, w1, w2, w3 = 2 * s * v, n * SQRT_AD_MINUS_ONE, 1 - s * s, 1 + s * s
    return w0 * w3 % P, w2 * w1 % P, w1 * w3 % P, w0 * w2 % P


BASE = decode(bytes.fromhex("e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76"))


def scalar(data):
    return int.from_bytes(data, "little") % ORDER


# --- the OPRF, RFC 9497, ristretto255-SHA512, mode 0 ------------------------------------------------------------------

SUITE = b"OPRFV1-\x00-ristretto255-SHA512"


def expand_message(message, tag):
    tag += be(len(tag), 1)
    b0 = sha512(bytes(128) + message + be(64, 2) + b"\0" + tag)
    return sha512(b0 + b"\1" + tag)


def hash_to_group(message):
    wide = expand_message(message, b"HashToGroup-" + SUITE)
    return add(elligator(wide[:32]), elligator(wide[32:]))


def derive_key(seed, info, tag=b"DeriveKeyPair" + SUITE):
    return scalar(expand_message(seed + vec(info) + b"\0", tag))


def oprf_finalize(message, blind, evaluated):
    element = encode(multiply(pow(blind, -1, ORDER), decode(evaluated)))
    return sha512(vec(message) + vec(element) + b"Finalize")


# --- OPAQUE, RFC 9807 -------------------------------------------------------------------------------------------------


def stretched(oprf_output):
    argon2 = Argon2id(salt=bytes(16), length=64, iterations=1, lanes=1, memory_cost=8)
    return extract(b"", oprf_output + argon2.derive(oprf_output))


def diffie_hellman_key(seed):
    return derive_key(seed, b"OPAQUE-DeriveDiffieHellmanKeyPair")


def public(secret):
    return encode(multiply(secret, BASE))


def envelope(randomized, nonce, server_public, identity):
    auth_key = expand(randomized, nonce + b"AuthKey", 64)
    client_secret = diffie_hellman_key(expand(randomized, nonce + b"PrivateKey", 32))
    # The server has no name. Its public key is used instead.
    cleartext = server_public + vec(server_public) + vec(identity)
    return client_secret, nonce + mac(auth_key, nonce + cleartext)


def expand_label(secret, label, context, length=64):
    label = b"OPAQUE-" + label
    return expand(secret, be(length, 2) + be(len(label), 1) + label + be(len(context), 1) + context, length)


def key_exchange(ikm, preamble):
    prk, digest = extract(b"", ikm), sha512(preamble)
    handshake = expand_label(prk, b"HandshakeSecret", digest)
    session_key = expand_label(prk, b"SessionKey", digest)
    server_mac = mac(expand_label(handshake, b"ServerMAC", b""), digest)
    client_mac = mac(expand_label(handshake, b"ClientMAC", b""), sha512(preamble + server_mac))
    return server_mac, client_mac, session_key


# --- the vectors ------------------------------------------------------------------------------------------------------

checks = 0


def same(name, computed, expected):
    global checks
    checks += 1
    if isinstance(computed, bytes):
        computed = computed.hex()
    if computed != expected:
        sys.exit(f"{name}:\n  computed {computed}\n  expected {expected}")


def b(text):
    return bytes.fromhex(text)


def check_registration(v):
    identity, values = v["inputs"]["login"].encode(), v["registration"]
    setup = b(v["inputs"]["setup"])
    seed, server_secret = setup[:64], int.from_bytes(setup[64:96], "little")
    server_public = public(server_secret)
    password = unicodedata.normalize("NFC", v["inputs"]["password"]).encode()
    password = b"sandhog/2\0" + identity + b"\0" + password
    same("password", v["inputs"]["password"].encode(), v["inputs"]["password_utf8"])
    same("password input", password, values["password_input"])
    oprf_key = derive_key(expand(seed, identity + b"OprfKey", 32), b"OPAQUE-DeriveKeyPair")

    blind = scalar(b(values["blind"]))
    same("reg1", encode(multiply(blind, hash_to_group(password))), values["reg1"])
    evaluated = encode(multiply(oprf_key, decode(b(values["reg1"]))))
    same("reg2", evaluated + server_public, values["reg2"])
    randomized = stretched(oprf_finalize(password, blind, evaluated))
    masking_key = expand(randomized, b"MaskingKey", 64)
    client_secret, sealed = envelope(randomized, b(values["envelope_nonce"]), server_public, identity)
    same("record", public(client_secret) + masking_key + sealed, values["record"])
    return password, oprf_key, server_secret, server_public


def check_login(v):
    password, oprf_key, server_secret, server_public = check_registration(v)
    identity, values, record = v["inputs"]["login"].encode(), v["login"], b(v["registration"]["record"])
    c, s = be(values["client_index"], 4), be(values["server_index"], 4)
    context = b"sandhog/2" + be(v["inputs"]["suite"], 1) + c + s
    same("context", context, values["context"])

    blind = scalar(b(values["blind"]))
    client_ephemeral = diffie_hellman_key(b(values["client_keyshare_seed"]))
    request = encode(multiply(blind, hash_to_group(password)))
    ke1 = request + b(values["client_nonce"]) + public(client_ephemeral)
    same("KE1", ke1, values["ke1"])

    evaluated = encode(multiply(oprf_key, decode(request)))
    nonce = b(values["masking_nonce"])
    pad = expand(record[32:96], nonce + b"CredentialResponsePad", 128)
    masked = bytes(x ^ y for x, y in zip(pad, server_public + record[96:]))
    server_ephemeral = diffie_hellman_key(b(values["server_keyshare_seed"]))
    response = evaluated + nonce + masked
    auth = b(values["server_nonce"]) + public(server_ephemeral)
    preamble = b"OPAQUEv1-" + vec(context) + vec(identity) + ke1 + vec(server_public) + response + auth

    # The client computes these from the password and KE2.
    randomized = stretched(oprf_finalize(password, blind, evaluated))
    same("masking key", expand(randomized, b"MaskingKey", 64), record[32:96].hex())
    client_secret, sealed = envelope(randomized, record[96:128], server_public, identity)
    same("envelope", sealed, record[96:].hex())
    theirs, static = decode(public(server_ephemeral)), decode(server_public)
    ikm = [(client_ephemeral, theirs), (client_ephemeral, static), (client_secret, theirs)]
    server_mac, client_mac, session_key = key_exchange(b"".join(encode(multiply(*pair)) for pair in ikm), preamble)
    same("KE2", response + auth + server_mac, values["ke2"])
    same("KE3", client_mac, values["ke3"])
    same("session key", session_key, values["session_key"])


def check_keys(v):
    prk = extract(b"sandhog/2", b(v["inputs"]["psk"]))
    same("P", prk, v["control"]["prk"])
    for name, info, length in [("up", b"ctl up", 32), ("down", b"ctl down", 32), ("mix", b"mix", 64)]:
        same(name, expand(prk, info, length), v["control"][name])

    host, port = v["inputs"]["client_address"].rsplit(":", 1)
    shown = ipaddress.ip_address(host).packed + be(int(port), 2) + be(v["login"]["client_index"], 4)
    same("cookie input", shown, v["cookie"]["input"])
    same("cookie", mac(b(v["cookie"]["secret"]), shown)[:16], v["cookie"]["cookie"])

    rekey = v["rekey"]
    for side, other in [("client", "server"), ("server", "client")]:
        secret = X25519PrivateKey.from_private_bytes(b(rekey[side + "_secret"]))
        same(side + " public", secret.public_key().public_bytes_raw(), rekey[side + "_public"])
        dh = secret.exchange(X25519PublicKey.from_public_bytes(b(rekey[other + "_public"])))
        same("dh", dh, rekey["dh"])
    transcript = sha512(rekey["rekey"].encode() + rekey["rekeyed"].encode())
    same("transcript", transcript, rekey["transcript"])

    chain = extract(b(v["control"]["mix"]), b(v["login"]["session_key"]))
    for e, values in enumerate([v["epoch_0"], v["epoch_1"]]):
        same("chain", chain, values["chain"])
        for name, length in [("up", 32), ("down", 32), ("next", 64)]:
            same(f"epoch {e} {name}", expand(chain, name.encode() + be(e, 4), length), values[name])
        chain = extract(b(values["next"]), dh + transcript)


def check_datagrams(v):
    codes = {"control.up": 1, "control.down": 2}
    ciphers = {None: ChaCha20Poly1305, "aes-256-gcm": AESGCM}
    chosen = ciphers[json.loads(v["rekey"]["rekeyed"]).get("cipher")]
    counters = {}
    for n, entry in enumerate(v["datagrams"]):
        group, name = entry["key"].split(".")
        code, nonce = be(codes.get(entry["key"], 3), 1), b(entry["nonce"])
        if group != "control":
            index = v[group]["server_index" if name == "up" else "client_index"]
            counter = counters.get(entry["key"], 0)
            counters[entry["key"]] = counter + 1
            same(f"datagram {n}, nonce", be(index, 4) + be(counter, 8), entry["nonce"])
        if "text" in entry:
            text = entry["text"].encode()
            length = 1171 if group == "control" else -(-len(text) // 64) * 64
            body = text.ljust(length)
        else:
            packet = b(entry["packet"])
            body = packet.ljust(min(-(-len(packet) // 16) * 16, 1420), b"\0")
            same(f"datagram {n}, padding", body, entry["padded"])
        same(f"datagram {n}, length", len(body), entry["padded_length"])
        cipher = chosen if group == "epoch_1" else ChaCha20Poly1305
        sealed = cipher(b(v[group][name])).encrypt(nonce, body, code)
        same(f"datagram {n}", code + nonce + sealed, entry["datagram"])


def main():
    default = sorted((pathlib.Path(__file__).parent.parent / "proto/tests/vectors").glob("secure*.json"))
    for file in sys.argv[1:] or default:
        vectors = json.loads(pathlib.Path(file).read_text(encoding="utf-8"))
        for check in [check_keys, check_login, check_datagrams]:
            check(vectors)
    print(f"{checks} values are correct")


main()
