#!/usr/bin/env python3
"""ML-KEM-768 (FIPS 203), for check-vectors.py. For reading only: it does not run in constant time.

    python3 docs/mlkem768.py                        compares it with published vectors, in about 10 s
"""

import hashlib

Q, K, ETA, DU, DV = 3329, 3, 2, 10, 4
ZETAS = [pow(17, int(f"{i:07b}"[::-1], 2), Q) for i in range(128)]
GAMMAS = [pow(17, 2 * int(f"{i:07b}"[::-1], 2) + 1, Q) for i in range(128)]


def bits(data):
    return [byte >> i & 1 for byte in data for i in range(8)]


def pack(values, width):
    flat = [value >> i & 1 for value in values for i in range(width)]
    return bytes(sum(bit << i for i, bit in enumerate(flat[at : at + 8])) for at in range(0, len(flat), 8))


def unpack(data, width):
    flat = bits(data)
    return [sum(bit << i for i, bit in enumerate(flat[at : at + width])) for at in range(0, len(flat), width)]


def compress(values, width):
    return pack([((value << width + 1) + Q) // (2 * Q) % (1 << width) for value in values], width)


def decompress(data, width):
    return [(2 * Q * value + (1 << width)) >> width + 1 for value in unpack(data, width)]


def sample_uniform(seed):
    stream, out = hashlib.shake_128(seed).digest(3 * 1024), []
    for a, b, c in zip(*[iter(stream)] * 3):
        out += [d for d in (a + 256 * (b % 16), b // 16 + 16 * c) if d < Q]
    assert len(out) >= 256, "a longer stream is needed"
    return out[:256]


def sample_small(seed, n):
    flat = bits(hashlib.shake_256(seed + bytes([n])).digest(64 * ETA))
    return [(flat[i] + flat[i + 1] - flat[i + 2] - flat[i + 3]) % Q for i in range(0, len(flat), 4)]


def ntt(f):
    f, i, length = f[:], 1, 128
    while length >= 2:
        for start in range(0, 256, 2 * length):
            for j in range(start, start + length):
                t = ZETAS[i] * f[j + length] % Q
                f[j], f[j + length] = (f[j] + t) % Q, (f[j] - t) % Q
            i += 1
        length //= 2
    return f


def inverse_ntt(f):
    f, i, length = f[:], 127, 2
    while length <= 128:
        for start in range(0, 256, 2 * length):
            for j in range(start, start + length):
                f[j], f[j + length] = (f[j] + f[j + length]) % Q, ZETAS[i] * (f[j + length] - f[j]) % Q
            i -= 1
        length *= 2
    return [value * 3303 % Q for value in f]


def plus(f, g):
    return [(x + y) % Q for x, y in zip(f, g)]


def minus(f, g):
    return [(x - y) % Q for x, y in zip(f, g)]


def times(f, g):
    out = []
    for i in range(128):
        (a0, a1), (b0, b1) = f[2 * i : 2 * i + 2], g[2 * i : 2 * i + 2]
        out += [(a0 * b0 + a1 * b1 * GAMMAS[i]) % Q, (a0 * b1 + a1 * b0) % Q]
    return out


def dot(row, column):
    out = [0] * 256
    for f, g in zip(row, column):
        out = plus(out, times(f, g))
    return out


def matrix(rho):
    return [[sample_uniform(rho + bytes([j, i])) for j in range(K)] for i in range(K)]


def chunks(data, size):
    return [data[at : at + size] for at in range(0, len(data), size)]


def key_pair(seed):
    """The encapsulation key and the secret vector of `d ‖ z`."""
    g = hashlib.sha3_512(seed[:32] + bytes([K])).digest()
    rho, sigma = g[:32], g[32:]
    secret = [ntt(sample_small(sigma, n)) for n in range(K)]
    error = [ntt(sample_small(sigma, n)) for n in range(K, 2 * K)]
    public = [plus(dot(row, secret), e) for row, e in zip(matrix(rho), error)]
    return b"".join(pack(f, 12) for f in public) + rho, secret


def encrypt(ek, message, randomness):
    rho, public = ek[384 * K :], [unpack(part, 12) for part in chunks(ek[: 384 * K], 384)]
    assert all(value < Q for f in public for value in f), "not an encapsulation key"
    y = [ntt(sample_small(randomness, n)) for n in range(K)]
    error = [sample_small(randomness, n) for n in range(K, 2 * K)]
    columns = zip(*matrix(rho))
    u = [plus(inverse_ntt(dot(column, y)), e) for column, e in zip(columns, error)]
    v = plus(inverse_ntt(dot(public, y)), sample_small(randomness, 2 * K))
    v = plus(v, decompress(message, 1))
    return b"".join(compress(f, DU) for f in u) + compress(v, DV)


def encapsulate(ek, message):
    g = hashlib.sha3_512(message + hashlib.sha3_256(ek).digest()).digest()
    return encrypt(ek, message, g[32:]), g[:32]


def decapsulate(seed, ct):
    ek, secret = key_pair(seed)
    u = [ntt(decompress(part, DU)) for part in chunks(ct[: 32 * DU * K], 32 * DU)]
    v = decompress(ct[32 * DU * K :], DV)
    message = compress(minus(v, inverse_ntt(dot(secret, u))), 1)
    g = hashlib.sha3_512(message + hashlib.sha3_256(ek).digest()).digest()
    if encrypt(ek, message, g[32:]) == ct:
        return g[:32]
    return hashlib.shake_256(seed[32:] + ct).digest(32)


def main():
    """The first 100 rounds of the accumulated vectors in the tests of Go's crypto/mlkem, in the format of C2SP's CCTV."""
    rounds, size, out = 100, 64 + 32 + 1088, hashlib.shake_128()
    for part in chunks(hashlib.shake_128(b"").digest(rounds * size), size):
        seed, message, random_ct = part[:64], part[64:96], part[96:]
        ek, _ = key_pair(seed)
        ct, shared = encapsulate(ek, message)
        assert decapsulate(seed, ct) == shared
        out.update(ek + ct + shared + decapsulate(seed, random_ct))
    digest = out.hexdigest(32)
    assert digest == "1114b1b6699ed191734fa339376afa7e285c9e6acf6ff0177d346696ce564415", digest
    print(f"{rounds} key pairs are correct")


if __name__ == "__main__":
    main()
