// The body of the instruction method, once for every architecture that has a CRC32C instruction.
//
// The includer defines CRC32C_TARGET (a target attribute) and CRC32C_STEP64, _STEP32, _STEP16, _STEP8 (state,
// word) -> state. The instruction has a latency of two or three cycles and a throughput of one, so three
// independent streams keep it busy; their states are joined by the shift tables.

/// One stream, for what is left over.
CRC32C_TARGET static inline uint32_t crc32c_one_stream(uint32_t state, const uint8_t *data, size_t length) {
    for (; length >= 8; data += 8, length -= 8)
        state = CRC32C_STEP64(state, crc32c_load64(data));
    if (length & 4) {
        state = CRC32C_STEP32(state, crc32c_load32(data));
        data += 4;
    }
    if (length & 2) {
        state = CRC32C_STEP16(state, (uint16_t)(data[0] | data[1] << 8));
        data += 2;
    }
    if (length & 1)
        state = CRC32C_STEP8(state, *data);
    return state;
}

/// One round: three neighbouring streams of `stream` bytes each.
CRC32C_TARGET static inline uint32_t crc32c_round(uint32_t state, const uint8_t *data, size_t stream,
                                                  const struct crc32c_shift *shift) {
    uint32_t second = 0, third = 0;
    for (const uint8_t *end = data + stream; data < end; data += 8) {
        state = CRC32C_STEP64(state, crc32c_load64(data));
        second = CRC32C_STEP64(second, crc32c_load64(data + stream));
        third = CRC32C_STEP64(third, crc32c_load64(data + 2 * stream));
    }
    return crc32c_shifted(shift, crc32c_shifted(shift, state) ^ second) ^ third;
}

CRC32C_TARGET uint32_t spillway_crc32c_instruction(uint32_t state, const uint8_t *data, size_t length) {
    for (; length >= 3 * CRC32C_LONG_STREAM; data += 3 * CRC32C_LONG_STREAM, length -= 3 * CRC32C_LONG_STREAM)
        state = crc32c_round(state, data, CRC32C_LONG_STREAM, &spillway_crc32c_long_shift);
    for (; length >= 3 * CRC32C_SHORT_STREAM; data += 3 * CRC32C_SHORT_STREAM, length -= 3 * CRC32C_SHORT_STREAM)
        state = crc32c_round(state, data, CRC32C_SHORT_STREAM, &spillway_crc32c_short_shift);
    return crc32c_one_stream(state, data, length);
}
