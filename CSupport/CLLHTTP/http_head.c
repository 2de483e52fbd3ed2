#include "http_head.h"

#include <stdlib.h>
#include <string.h>

#include "llhttp.h"

// What a run of the parser works on.
struct run {
    struct spillway_http_head *head;
    const char *bytes;
    int is_done;
    // The name of the current field was seen: without one it is no field.
    int has_name;
    // The value of the current field was seen: a second piece of it is a folded line (RFC 9112, 5.2), which is refused.
    int has_value;
};

static struct spillway_http_span span(const struct run *run, const char *at, size_t length) {
    struct spillway_http_span place = {(uint32_t)(at - run->bytes), (uint32_t)length};
    return place;
}

static int on_target(llhttp_t *parser, const char *at, size_t length) {
    struct run *run = parser->data;
    run->head->target = span(run, at, length);
    return 0;
}

static int on_name(llhttp_t *parser, const char *at, size_t length) {
    struct run *run = parser->data;
    if (run->head->field_count == SPILLWAY_HTTP_FIELDS) {
        run->head->status = SPILLWAY_HTTP_TOO_MANY_FIELDS;
        return -1;
    }
    run->head->fields[run->head->field_count].name = span(run, at, length);
    run->has_name = length > 0;
    run->has_value = 0;
    return 0;
}

static int on_value(llhttp_t *parser, const char *at, size_t length) {
    struct run *run = parser->data;
    if (run->has_value || !run->has_name) return -1;
    run->has_value = 1;
    while (length > 0 && (at[length - 1] == ' ' || at[length - 1] == '\t')) length--;
    run->head->fields[run->head->field_count].value = span(run, at, length);
    return 0;
}

static int on_value_complete(llhttp_t *parser) {
    struct run *run = parser->data;
    if (!run->has_name) return -1;
    run->has_name = 0;
    run->head->field_count++;
    return 0;
}

static int on_headers_complete(llhttp_t *parser) {
    struct run *run = parser->data;
    struct spillway_http_head *head = run->head;
    head->has_content_length = (parser->flags & F_CONTENT_LENGTH) != 0;
    head->has_transfer_encoding = (parser->flags & F_TRANSFER_ENCODING) != 0;
    head->is_chunked = (parser->flags & F_CHUNKED) != 0;
    head->content_length = parser->content_length;
    head->keep_alive = (uint8_t)llhttp_should_keep_alive(parser);
    run->is_done = 1;
    return 2; // The parser leaves the body alone and says where the head ends.
}

static void take_apart(struct spillway_http_head *head, const void *bytes, size_t count, llhttp_type_t type) {
    static const llhttp_settings_t settings = {
        .on_url = on_target,
        .on_header_field = on_name,
        .on_header_value = on_value,
        .on_header_value_complete = on_value_complete,
        .on_headers_complete = on_headers_complete,
    };
    struct run run = {.head = head, .bytes = bytes};
    llhttp_t parser;
    llhttp_init(&parser, type, &settings);
    parser.data = &run;
    head->status = SPILLWAY_HTTP_COMPLETE;
    head->field_count = 0;
    head->target.length = 0;
    llhttp_errno_t result = llhttp_execute(&parser, bytes, count);
    if (run.is_done && result == HPE_PAUSED_UPGRADE) {
        head->byte_count = (uint32_t)(llhttp_get_error_pos(&parser) - (const char *)bytes);
        head->major = parser.http_major;
        head->minor = parser.http_minor;
        head->status_code = parser.status_code;
        head->method = parser.method == HTTP_GET       ? SPILLWAY_HTTP_GET
                       : parser.method == HTTP_HEAD    ? SPILLWAY_HTTP_HEAD
                       : parser.method == HTTP_OPTIONS ? SPILLWAY_HTTP_OPTIONS
                                                       : SPILLWAY_HTTP_OTHER;
    } else if (head->status == SPILLWAY_HTTP_COMPLETE) {
        head->status = result == HPE_OK ? SPILLWAY_HTTP_INCOMPLETE : SPILLWAY_HTTP_MALFORMED;
    }
}

void spillway_http_request(struct spillway_http_head *head, const void *bytes, size_t count) {
    take_apart(head, bytes, count, HTTP_REQUEST);
}

void spillway_http_response(struct spillway_http_head *head, const void *bytes, size_t count) {
    take_apart(head, bytes, count, HTTP_RESPONSE);
}

// ---- chunks -----------------------------------------------------------------------------------------------------

struct spillway_http_chunks {
    llhttp_t parser;
    char *target;
    int is_finished;
};

static int on_body(llhttp_t *parser, const char *at, size_t length) {
    struct spillway_http_chunks *chunks = parser->data;
    // The payload never lies before where it is moved to.
    memmove(chunks->target, at, length);
    chunks->target += length;
    return 0;
}

static int on_message_complete(llhttp_t *parser) {
    ((struct spillway_http_chunks *)parser->data)->is_finished = 1;
    return HPE_PAUSED;
}

struct spillway_http_chunks *spillway_http_chunks_new(void) {
    static const llhttp_settings_t settings = {.on_body = on_body, .on_message_complete = on_message_complete};
    static const char head[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    struct spillway_http_chunks *chunks = calloc(1, sizeof *chunks);
    if (chunks == NULL) return NULL;
    llhttp_init(&chunks->parser, HTTP_RESPONSE, &settings);
    chunks->parser.data = chunks;
    if (llhttp_execute(&chunks->parser, head, sizeof head - 1) == HPE_OK) return chunks;
    free(chunks);
    return NULL;
}

void spillway_http_chunks_free(struct spillway_http_chunks *chunks) { free(chunks); }

long spillway_http_chunks_take(struct spillway_http_chunks *chunks, void *bytes, size_t count, int *finished) {
    chunks->target = bytes;
    llhttp_errno_t result = llhttp_execute(&chunks->parser, bytes, count);
    *finished = chunks->is_finished;
    if (result != HPE_OK && !chunks->is_finished) return -1;
    return chunks->target - (char *)bytes;
}
