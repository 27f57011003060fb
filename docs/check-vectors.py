#!/usr/bin/env python3
"""Computes the test vectors of docs/protocol.md from their inputs, without any code of Sandhog.

Needs Python 3.9 and the package `cryptography` 45 or later (X25519, ChaCha20-Poly1305, AES-GCM, Argon2id). This file
implements OPAQUE (RFC 9807), its OPRF (RFC 9497) and ristretto255 (RFC 9496) itself, mlkem768.py ML-KEM-768 (FIPS 203). The
code is for reading only: it does not run in constant time.

    python3 docs/check-vectors.py [FILE...]         default: the files secure*.json in proto/tests/vectors
"""

import base64
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

sys.dont_write_bytecode = True  # no cache file among the documents
import mlkem768

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


def check_server(v):
    """The public keys S, A, ek and the fingerprint F."""
    setup, values = b(v["inputs"]["setup"]), v["server"]
    x25519 = x25519_public(setup[128:160])
    opaque = public(int.from_bytes(setup[64:96], "little"))
    ek, _ = mlkem768.key_pair(setup[160:224])
    fingerprint = sha512(b"sandhog/3 server" + x25519 + opaque + ek)[:32]
    same("S", x25519, values["x25519_public"])
    same("A", opaque, values["opaque_public"])
    same("ek", ek, values["ek"])
    same("F", fingerprint, values["fingerprint"])
    same("server key", base64.b64encode(x25519 + fingerprint).decode(), values["server_key"])
    return x25519, opaque, ek, fingerprint


def x25519_public(secret):
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def x25519(secret, theirs):
    return X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(theirs))


def oprf_input(v, text):
    return b"sandhog/3\0" + v["inputs"]["login"].encode() + b"\0" + unicodedata.normalize("NFC", text).encode()


def oprf_key(v):
    seed = b(v["inputs"]["setup"])[:64]
    return derive_key(expand(seed, v["inputs"]["login"].encode() + b"OprfKey", 32), b"OPAQUE-DeriveKeyPair")


def check_registration(v, values, text):
    identity, server_public = v["inputs"]["login"].encode(), b(v["server"]["opaque_public"])
    password = oprf_input(v, text)
    same("password input", password, values["password_input"])
    blind = scalar(b(values["blind"]))
    same("reg1", encode(multiply(blind, hash_to_group(password))), values["reg1"])
    evaluated = encode(multiply(oprf_key(v), decode(b(values["reg1"]))))
    same("reg2", evaluated + server_public, values["reg2"])
    randomized = stretched(oprf_finalize(password, blind, evaluated))
    masking_key = expand(randomized, b"MaskingKey", 64)
    client_secret, sealed = envelope(randomized, b(values["envelope_nonce"]), server_public, identity)
    same("record", public(client_secret) + masking_key + sealed, values["record"])


def check_opaque(v, values, context):
    """A login with OPAQUE. The login and the password change have the same names for its values."""
    password, record = oprf_input(v, v["inputs"]["password"]), b(v["registration"]["record"])
    identity, server_public = v["inputs"]["login"].encode(), b(v["server"]["opaque_public"])
    same("context", context, values["context"])

    blind = scalar(b(values["blind"]))
    client_ephemeral = diffie_hellman_key(b(values["client_keyshare_seed"]))
    request = encode(multiply(blind, hash_to_group(password)))
    ke1 = request + b(values["client_nonce"]) + public(client_ephemeral)
    same("KE1", ke1, values["ke1"])

    evaluated = encode(multiply(oprf_key(v), decode(request)))
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


def sent(v, kind, form):
    """All messages of a kind: their JSON (`text`) or their bytes (`message`)."""
    return [entry[form] for entry in v["datagrams"] if entry["kind"] == kind]


def check_login(v):
    x25519_server, opaque, ek, fingerprint = check_server(v)
    same("password", v["inputs"]["password"].encode(), v["inputs"]["password_utf8"])
    check_registration(v, v["registration"], v["inputs"]["password"])
    m1, m2, m3, login = v["m1"], v["m2"], v["m3"], v["login"]
    c, s, time = be(login["client_index"], 4), be(login["server_index"], 4), be(login["time"], 8)
    host, port = v["inputs"]["client_address"].rsplit(":", 1)
    shown = ipaddress.ip_address(host).packed + be(int(port), 2) + c
    cookie = mac(b(v["cookie"]["secret"]), shown)[:16]
    same("cookie input", shown, v["cookie"]["input"])
    same("cookie", cookie, v["cookie"]["cookie"])
    context = b"sandhog/3" + be(v["inputs"]["suite"], 1) + c + s + fingerprint
    check_opaque(v, {**m1, **m2, **m3}, context)
    same("M0", [(b"\x31" + time + c).hex()], sent(v, "login", "message"))
    same("M0r", [(b"\x32" + c + cookie + fingerprint + ek[:592]).hex()], sent(v, "cookie", "message"))

    ephemeral, dh = x25519_public(b(m1["x25519_secret"])), x25519(b(m1["x25519_secret"]), x25519_server)
    same("e", ephemeral, m1["x25519_public"])
    same("dh", dh, m1["dh"])
    same("dh of the server", x25519(b(v["inputs"]["setup"])[128:160], ephemeral), m1["dh"])
    k = extract(cookie + c, dh)
    same("K", k, m1["k"])
    k1 = expand(k, b"m1" + ephemeral + x25519_server, 32)
    same("k1", k1, m1["k1"])
    name = v["inputs"]["login"].encode()
    plaintext = be(len(name), 1) + name.ljust(64, b"\0") + b(m1["ke1"]) + bytes(32)
    same("box1, plaintext", plaintext, m1["plaintext"])
    box = ChaCha20Poly1305(k1).encrypt(bytes(12), plaintext, b"")
    same("box1", box, m1["box"])
    request = c + cookie + ephemeral + box
    same("M1", [(b"\x33" + time + request).hex()], sent(v, "login-cookie", "message"))

    k2 = expand(k, b"m2" + ephemeral + x25519_server + s, 32)
    same("k2", k2, m2["k2"])
    plaintext = opaque + b(m2["ke2"]) + ek[592:]
    same("box2, plaintext", plaintext, m2["plaintext"])
    box = ChaCha20Poly1305(k2).encrypt(bytes(12), plaintext, b"")
    same("box2", box, m2["box"])
    reply = b"\x34" + c + s + box
    same("M2", [reply.hex()], sent(v, "ke2", "message"))

    ct, ss = mlkem768.encapsulate(ek, b(m3["encapsulation"]))
    same("ct", ct, m3["ct"])
    same("ss", ss, m3["ss"])
    same("ss of the server", mlkem768.decapsulate(b(v["inputs"]["setup"])[160:224], ct), m3["ss"])
    tag = mac(b(m3["session_key"]), b"m3" + ct)[:14]
    same("MAC of M3", tag, m3["mac"])
    proof = b"\x35" + s + b(m3["ke3"]) + ct
    same("M3", [(proof + tag).hex()], sent(v, "ke3", "message"))
    same("T", sha512(request + reply + ek + proof), m3["transcript"])


def check_ticket(v):
    values, record_hash = v["ticket"], sha512(b(v["registration"]["record"]))
    same("hash of the record", record_hash, values["record_hash"])
    same("expiry", v["login"]["time"] // 1000 + 400 * 86400, values["expiry"])
    expiry = be(values["expiry"], 8)
    tag = mac(b(v["inputs"]["setup"])[224:], b"ticket" + record_hash + expiry + v["inputs"]["login"].encode())
    same("ticket", expiry + tag[:24], values["ticket"])
    [settings] = [json.loads(text) for text in sent(v, "settings", "text")]
    same("time in M4", settings["time"], v["login"]["time"])
    same("ticket in M4", settings["ticket"], base64url(b(values["ticket"])))


def base64url(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


CIPHERS = {"chacha20-poly1305": (0, ChaCha20Poly1305), "aes-256-gcm": (1, AESGCM)}


def check_rekey(v, n):
    """The rekey that begins epoch `n`."""
    values, epoch = v[f"rekey_{n}"], v[f"epoch_{n}"]
    ek, _ = mlkem768.key_pair(b(values["kem_seed"]))
    ct, ss = mlkem768.encapsulate(ek, b(values["encapsulation"]))
    same("ek", ek, values["ek"])
    same("ct", ct, values["ct"])
    same("ss", ss, values["ss"])
    same("ss of the client", mlkem768.decapsulate(b(values["kem_seed"]), ct), values["ss"])
    for side, other in [("client", "server"), ("server", "client")]:
        same(side + " public", x25519_public(b(values[side + "_secret"])), values[side + "_public"])
        dh = x25519(b(values[side + "_secret"]), b(values[other + "_public"]))
        same("dh", dh, values["dh"])
    same("cipher", epoch["cipher"], v["inputs"]["cipher"])
    head, cipher = be(n, 4), be(CIPHERS[epoch["cipher"]][0], 1)
    rekey = b"\1" + head + be(epoch["client_index"], 4) + cipher + b(values["client_public"]) + ek
    rekeyed = b"\2" + head + be(epoch["server_index"], 4) + cipher + b(values["server_public"]) + ct
    same("rekey", rekey, values["rekey"])
    same("rekeyed", rekeyed, values["rekeyed"])
    same("rekey as sent", sent(v, "rekey", "message")[n - 1], values["rekey"])
    same("rekeyed as sent", sent(v, "rekeyed", "message")[n - 1], values["rekeyed"])
    same("transcript", sha512(rekey + rekeyed), values["transcript"])
    return dh + ss + sha512(rekey + rekeyed)


def check_keys(v):
    prk = extract(b"sandhog/3", b(v["inputs"]["psk"]))
    same("P", prk, v["control"]["prk"])
    for name, info, length in [("up", b"ctl up", 32), ("down", b"ctl down", 32), ("mix", b"mix", 64)]:
        same(name, expand(prk, info, length), v["control"][name])
    m3, epoch = v["m3"], v["epoch_0"]
    same("cipher of epoch 0", epoch["cipher"], "chacha20-poly1305")
    for side in ["client_index", "server_index"]:
        same(side, epoch[side], v["login"][side])
    chain = extract(b(v["control"]["mix"]), b(m3["session_key"]) + b(m3["ss"]) + b(m3["transcript"]))
    for e in range(3):
        values = v[f"epoch_{e}"]
        same("chain", chain, values["chain"])
        for name, length in [("up", 32), ("down", 32), ("next", 64)]:
            same(f"epoch {e} {name}", expand(chain, name.encode() + be(e, 4), length), values[name])
        if e < 2:
            chain = extract(b(values["next"]), check_rekey(v, e + 1))


def check_change(v):
    values, registration = v["change"], v["change"]["registration"]
    c, s = be(v["login"]["client_index"], 4), be(v["login"]["server_index"], 4)
    context = b"sandhog/c" + be(v["inputs"]["suite"], 1) + c + s + b(v["server"]["fingerprint"])
    check_opaque(v, values, context)
    check_registration(v, registration, v["inputs"]["new_password"])
    reg2, reg3 = b(registration["reg2"]), b(registration["record"])
    tag = mac(b(values["session_key"]), b"reg3" + reg2 + reg3)[:32]
    same("MAC of reg3", tag, values["mac"])
    messages = {
        "prove1": {"t": "prove1", "ke1": values["ke1"]},
        "prove2": {"t": "prove2", "ke2": values["ke2"]},
        "prove3": {"t": "prove3", "ke3": values["ke3"], "reg1": registration["reg1"]},
        "reg2": {"t": "reg2", "reg2": registration["reg2"]},
        "reg3": {"t": "reg3", "reg3": registration["record"], "mac": values["mac"]},
        "reg-ok": {"t": "regOk"},
    }
    for kind, message in messages.items():
        message = {key: text if key == "t" else base64url(b(text)) for key, text in message.items()}
        same(kind, [json.dumps(message, separators=(",", ":"))], sent(v, kind, "text"))


def check_datagrams(v):
    codes = {"control.up": 1, "control.down": 2}
    control = {"control.up": v["login"]["client_first_nonce"], "control.down": v["login"]["server_first_nonce"]}
    counters = {}
    for n, entry in enumerate(v["datagrams"]):
        group, name = entry["key"].split(".")
        code, nonce = be(codes.get(entry["key"], 3), 1), b(entry["nonce"])
        counter = counters.get(entry["key"], 0)
        counters[entry["key"]] = counter + 1
        if group == "control":
            expected = be((int(control[entry["key"]], 16) + counter) % 2**96, 12)
        else:
            index = v[group]["server_index" if name == "up" else "client_index"]
            expected = be(index, 4) + be(counter, 8)
        same(f"datagram {n}, nonce", expected, entry["nonce"])
        if "packet" in entry:
            packet = b(entry["packet"])
            body = packet.ljust(min(-(-len(packet) // 16) * 16, 1420), b"\0")
            same(f"datagram {n}, padding", body, entry["padded"])
        elif group == "control":
            body = b(entry["message"]).ljust(1171, b"\0")
        else:
            body = entry["text"].encode() if "text" in entry else b(entry["message"])
            body = body.ljust(-(-len(body) // 64) * 64)
        same(f"datagram {n}, length", len(body), entry["padded_length"])
        cipher = ChaCha20Poly1305 if group == "control" else CIPHERS[v[group]["cipher"]][1]
        sealed = cipher(b(v[group][name])).encrypt(nonce, body, code)
        same(f"datagram {n}", code + nonce + sealed, entry["datagram"])


def main():
    default = sorted((pathlib.Path(__file__).parent.parent / "proto/tests/vectors").glob("secure*.json"))
    for file in sys.argv[1:] or default:
        vectors = json.loads(pathlib.Path(file).read_text(encoding="utf-8"))
        for check in [check_login, check_ticket, check_keys, check_change, check_datagrams]:
            check(vectors)
    print(f"{checks} values are correct")


main()
