// Heads of HTTP/1.1 messages, taken apart by llhttp, the parser of Node.js, whose C sources Debian's package node-llhttp
// installs. The parser runs once over a whole head; what it finds are places in the caller's bytes. Every symbol is
// prefixed with `spillway_`.
#ifndef SPILLWAY_HTTP_HEAD_H
#define SPILLWAY_HTTP_HEAD_H

#include <stddef.h>
#include <stdint.h>

/// Fields a head may have; more are refused.
#define SPILLWAY_HTTP_FIELDS 64

/// What a head turned out to be.
enum spillway_http_status {
    /// A whole head.
    SPILLWAY_HTTP_COMPLETE = 0,
    /// The bytes end before the head does.
    SPILLWAY_HTTP_INCOMPLETE = 1,
    /// Not HTTP, or not in a way that everybody would understand alike.
    SPILLWAY_HTTP_MALFORMED = 2,
    /// More fields than there may be.
    SPILLWAY_HTTP_TOO_MANY_FIELDS = 3,
};

/// The methods that mean something here.
enum spillway_http_method {
    SPILLWAY_HTTP_OTHER = 0,
    SPILLWAY_HTTP_GET = 1,
    SPILLWAY_HTTP_HEAD = 2,
    SPILLWAY_HTTP_OPTIONS = 3,
};

/// A part of the caller's bytes.
struct spillway_http_span {
    uint32_t offset, length;
};

/// A field.
struct spillway_http_field {
    struct spillway_http_span name, value;
};

/// A head.
struct spillway_http_head {
    uint8_t status; // spillway_http_status
    uint8_t method; // spillway_http_method
    uint8_t major, minor;
    /// Of a response.
    uint16_t status_code;
    /// Whether the connection goes on after this message, as far as its head says.
    uint8_t keep_alive;
    uint8_t has_content_length, has_transfer_encoding, is_chunked;
    uint64_t content_length;
    /// Bytes of the head, the blank line included.
    uint32_t byte_count;
    struct spillway_http_span target;
    uint32_t field_count;
    struct spillway_http_field fields[SPILLWAY_HTTP_FIELDS];
};

/// The field at this place of a head; `index` is below `field_count`.
static inline struct spillway_http_field spillway_http_field_at(const struct spillway_http_head *head, uint32_t index) {
    return head->fields[index];
}

/// Takes a request's head apart, which begins at the first byte.
void spillway_http_request(struct spillway_http_head *head, const void *bytes, size_t count);

/// Takes a response's head apart, which begins at the first byte.
void spillway_http_response(struct spillway_http_head *head, const void *bytes, size_t count);

/// A body in chunks (RFC 9112, section 7.1) is taken apart in place by the same parser.
struct spillway_http_chunks;

/// A new state at the start of a chunked body; NULL without memory.
struct spillway_http_chunks *spillway_http_chunks_new(void);

/// Frees a state.
void spillway_http_chunks_free(struct spillway_http_chunks *chunks);

/// Moves the payload among `bytes` to their front: how many bytes of payload, or -1 if they are malformed.
/// `finished` is set when the last chunk has been seen.
long spillway_http_chunks_take(struct spillway_http_chunks *chunks, void *bytes, size_t count, int *finished);

#endif
