"""XXH3-64 for inputs of 4 bytes and more, not from 129 to 240 with a seed: the checksum of frames,
and of records.

A frame is 24 to 8192 bytes and a record 8 and more, so the algorithm's special cases for shorter
inputs are left out. Five ways remain: up to 8 bytes as one word, up to 16 from both ends at once,
up to 128 mixed in pairs from both ends, up to 240 bytes mixed in a row, and beyond that eight lanes
over stripes of 64 bytes, scrambled after each block of 1024.
"""

import struct

SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f"
    "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
    "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364"
    "eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e"
    "2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e"
)

MASK = (1 << 64) - 1
PRIME32_1 = 0x9E3779B1
PRIME32_2 = 0x85EBCA77
PRIME32_3 = 0xC2B2AE3D
PRIME64_1 = 0x9E3779B185EBCA87
PRIME64_2 = 0xC2B2AE3D27D4EB4F
PRIME64_3 = 0x165667B19E3779F9
PRIME64_4 = 0x85EBCA77C2B2AE63
PRIME64_5 = 0x27D4EB2F165667C5
PRIME_MX1 = 0x165667919E3779F9
PRIME_MX2 = 0x9FB21C651E98DF25

STRIPE = 64
STRIPES_PER_BLOCK = (len(SECRET) - STRIPE) // 8


def word(data, offset):
    return int.from_bytes(data[offset : offset + 8], "little")


def fold(a, b):
    product = a * b
    return (product ^ product >> 64) & MASK


def avalanche(h):
    h ^= h >> 37
    h = h * PRIME_MX1 & MASK
    return h ^ h >> 32


def mix16(data, offset, secret_offset, seed=0):
    return fold(
        word(data, offset) ^ (word(SECRET, secret_offset) + seed & MASK),
        word(data, offset + 8) ^ (word(SECRET, secret_offset + 8) - seed & MASK),
    )


def rotate(value, bits):
    return (value << bits | value >> 64 - bits) & MASK


def hash_4_to_8(data, seed=0):
    low = seed & 0xFFFFFFFF
    seed ^= int.from_bytes(low.to_bytes(4, "little"), "big") << 32
    first = int.from_bytes(data[:4], "little")
    last = int.from_bytes(data[-4:], "little")
    h = last + (first << 32) ^ ((word(SECRET, 8) ^ word(SECRET, 16)) - seed & MASK)
    h ^= rotate(h, 49) ^ rotate(h, 24)
    h = h * PRIME_MX2 & MASK
    h ^= (h >> 35) + len(data)
    h = h * PRIME_MX2 & MASK
    return h ^ h >> 28


def hash_9_to_16(data, seed=0):
    low = word(data, 0) ^ ((word(SECRET, 24) ^ word(SECRET, 32)) + seed & MASK)
    high = word(data, len(data) - 8) ^ ((word(SECRET, 40) ^ word(SECRET, 48)) - seed & MASK)
    swapped = int.from_bytes(low.to_bytes(8, "little"), "big")
    return avalanche(len(data) + swapped + high + fold(low, high) & MASK)


def hash_17_to_128(data, seed=0):
    size = len(data)
    total = size * PRIME64_1
    for i in range((size - 1) // 32 + 1):
        total += mix16(data, 16 * i, 32 * i, seed)
        total += mix16(data, size - 16 * (i + 1), 32 * i + 16, seed)
    return avalanche(total & MASK)


def hash_129_to_240(data):
    size = len(data)
    total = size * PRIME64_1 + sum(mix16(data, 16 * i, 16 * i) for i in range(8))
    total = avalanche(total & MASK)
    total += sum(mix16(data, 16 * i, 16 * (i - 8) + 3) for i in range(8, size // 16))
    total += mix16(data, size - 16, 136 - 17)
    return avalanche(total & MASK)


def secret_of(seed):
    """The one that a seed makes of it."""
    words = struct.unpack(f"<{len(SECRET) // 8}Q", SECRET)
    return struct.pack(f"<{len(words)}Q", *((value + (seed if i % 2 == 0 else -seed)) & MASK
                                            for i, value in enumerate(words)))


def accumulate(lanes, stripe, secret, secret_offset):
    values = struct.unpack("<8Q", stripe)
    keys = struct.unpack_from("<8Q", secret, secret_offset)
    for i in range(8):
        key = values[i] ^ keys[i]
        lanes[i ^ 1] += values[i]
        lanes[i] += (key & 0xFFFFFFFF) * (key >> 32)
    for i in range(8):
        lanes[i] &= MASK


def scramble(lanes, secret):
    for i, key in enumerate(struct.unpack_from("<8Q", secret, len(secret) - STRIPE)):
        lanes[i] = (lanes[i] ^ lanes[i] >> 47 ^ key) * PRIME32_1 & MASK


def hash_long(data, seed=0):
    size = len(data)
    secret = secret_of(seed)
    lanes = [PRIME32_3, PRIME64_1, PRIME64_2, PRIME64_3, PRIME64_4, PRIME32_2, PRIME64_5, PRIME32_1]
    # The last stripe is always taken from the end, whole or overlapping; a block that ends where
    # the data ends is scrambled no more.
    for i in range((size - 1) // STRIPE):
        if i > 0 and i % STRIPES_PER_BLOCK == 0:
            scramble(lanes, secret)
        accumulate(lanes, data[STRIPE * i : STRIPE * (i + 1)], secret, 8 * (i % STRIPES_PER_BLOCK))
    if (size - 1) // STRIPE % STRIPES_PER_BLOCK == 0:
        scramble(lanes, secret)
    accumulate(lanes, data[size - STRIPE :], secret, len(secret) - STRIPE - 7)
    total = size * PRIME64_1
    for i in range(4):
        total += fold(lanes[2 * i] ^ word(secret, 11 + 16 * i),
                      lanes[2 * i + 1] ^ word(secret, 19 + 16 * i))
    return avalanche(total & MASK)


def xxh3_64(data, seed=0):
    if len(data) < 4 or (seed != 0 and 128 < len(data) <= 240):
        raise ValueError("no frame and no record is that")
    if len(data) <= 8:
        return hash_4_to_8(data, seed)
    if len(data) <= 16:
        return hash_9_to_16(data, seed)
    if len(data) <= 128:
        return hash_17_to_128(data, seed)
    if len(data) <= 240:
        return hash_129_to_240(data)
    return hash_long(data, seed)
