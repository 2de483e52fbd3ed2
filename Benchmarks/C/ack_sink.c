// A receiver that does the same work with and without acknowledgements, so that these are all the difference there is
// (`tools/bench deliver`).
//
//   ack_sink plain|acknowledged PORT FILE
//
// It takes one connection on loopback, follows the blocks of the stream to the trailers of batches, and writes every byte over
// what is in FILE, from its beginning again after 256 MiB: pages that are there already cost the same each time. Acknowledging, it greets
// first, says to the inventory that it has nothing, and names batches in ACK blocks when nothing more is there to be read or
// 1 MiB waits (docs/format.md). It checks nothing. Prints: bytes, batches, acks.

#include "bench.h"
#include "crc32c.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    AT_ONCE = 256 << 10,
    BLOCK_MAX = 1 << 20,
    FILE_MAX = 256 << 20,
    ACK_BYTES = 1 << 20,
    RANGES_MAX = 4092,
    BATCH_TRAILER = 0x80535054,
    OWED = 0x8053504f,
    HAVE = 0x80535056,
    ACK = 0x80535041,
    HELLO = 0x80535048,
    TRAILER_BYTES = 96,
};

static uint64_t bytes_total, batches_total, acks_total;

static uint32_t get32(const uint8_t *source) {
    uint32_t value;
    memcpy(&value, source, sizeof value);
    return value;
}

static uint64_t get64(const uint8_t *source) {
    uint64_t value;
    memcpy(&value, source, sizeof value);
    return value;
}

static void say(int to, const void *bytes, size_t count) {
    if (send(to, bytes, count, MSG_NOSIGNAL) != (ssize_t)count)
        fail(74, "the relay does not listen: %s", strerror(errno));
}

/// Sends a control block whose body stands behind the first 8 bytes of `block`.
static void say_block(int to, uint8_t *block, uint32_t type, uint32_t count) {
    memcpy(block, &type, 4);
    memcpy(block + 4, &count, 4);
    uint32_t sum = spillway_crc32c(0, block, count - 8);
    memcpy(block + count - 8, &sum, 4);
    memcpy(block + count - 4, &count, 4);
    say(to, block, count);
}

static void greet(int to) {
    static const uint8_t section[28] = {0x0a, 0x0d, 0x0d, 0x0a, 28,   0,    0,    0,    0x4d, 0x3c, 0x2b, 0x1a, 1,    0,
                                        0,    0,    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 28,   0,    0,    0};
    uint8_t hello[56] = {[8] = 1, [10] = 1};
    say(to, section, sizeof section);
    say_block(to, hello, HELLO, sizeof hello);
}

/// Batches of one worker and lane that wait to be acknowledged.
struct waiting {
    uint8_t lane[20]; // worker, lane, run, as they stand in a list
    uint64_t numbers[RANGES_MAX];
    uint32_t count;
};

static int ascending(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

static void acknowledge(int to, struct waiting *waiting) {
    static uint8_t block[56 + 16 * RANGES_MAX];
    if (waiting->count == 0)
        return;
    qsort(waiting->numbers, waiting->count, sizeof waiting->numbers[0], ascending);
    uint32_t ranges = 0;
    memset(block, 0, 48);
    memcpy(block + 12, waiting->lane, sizeof waiting->lane);
    for (uint32_t place = 0, end; place < waiting->count; place = end) {
        for (end = place + 1; end < waiting->count && waiting->numbers[end] == waiting->numbers[end - 1] + 1;)
            end++;
        uint64_t range[2] = {waiting->numbers[place], waiting->numbers[end - 1] + 1};
        memcpy(block + 48 + 16 * ranges++, range, sizeof range);
    }
    memcpy(block + 44, &ranges, 4);
    say_block(to, block, ACK, 56 + 16 * ranges);
    waiting->count = 0;
    acks_total++;
}

static void note(int to, struct waiting *waiting, const uint8_t *trailer) {
    uint8_t lane[20];
    memcpy(lane, trailer + 12, 4);
    memcpy(lane + 4, trailer + 16, 16);
    if (waiting->count == RANGES_MAX || (waiting->count > 0 && memcmp(lane, waiting->lane, sizeof lane) != 0))
        acknowledge(to, waiting);
    memcpy(waiting->lane, lane, sizeof lane);
    waiting->numbers[waiting->count++] = get64(trailer + 32);
}

/// The answer to the last block of the inventory: nothing of its lane is here.
static void have_nothing(int to, const uint8_t *owed) {
    uint8_t block[56] = {[10] = 1};
    if ((owed[10] & 1) == 0)
        return;
    memcpy(block + 12, owed + 12, 20);
    say_block(to, block, HAVE, sizeof block);
}

/// Goes over the whole blocks among `count` bytes; how many bytes these are.
static size_t follow(int to, const uint8_t *bytes, size_t count, bool acknowledges, struct waiting *waiting) {
    size_t place = 0;
    while (count - place >= 8) {
        uint32_t type = get32(bytes + place), length = get32(bytes + place + 4);
        if (length < 12 || length > BLOCK_MAX)
            fail(65, "a block of %u bytes", length);
        if (length > count - place)
            break;
        if (type == BATCH_TRAILER && length == TRAILER_BYTES) {
            batches_total++;
            if (acknowledges)
                note(to, waiting, bytes + place);
        } else if (type == OWED && acknowledges) {
            have_nothing(to, bytes + place);
        }
        place += length;
    }
    return place;
}

static int listening(uint16_t port) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 1) != 0)
        fail(71, "port %u: %s", port, strerror(errno));
    return listener;
}

static void receive(int from, int file, bool acknowledges) {
    static uint8_t room[AT_ONCE + BLOCK_MAX];
    static struct waiting waiting;
    size_t rest = 0, unacknowledged = 0;
    if (acknowledges)
        greet(from);
    for (;;) {
        ssize_t count = recv(from, room + rest, AT_ONCE, 0);
        if (count < 0)
            fail(74, "the connection broke: %s", strerror(errno));
        if (count == 0)
            break;
        bytes_total += (uint64_t)count;
        size_t have = rest + (size_t)count, done = follow(from, room, have, acknowledges, &waiting);
        for (size_t written = 0; written < done;) {
            ssize_t step = write(file, room + written, done - written);
            if (step <= 0)
                fail(74, "cannot write: %s", strerror(errno));
            written += (size_t)step;
        }
        if (lseek(file, 0, SEEK_CUR) > FILE_MAX)
            lseek(file, 0, SEEK_SET);
        unacknowledged += (size_t)count;
        if (count < AT_ONCE || unacknowledged >= ACK_BYTES) {
            acknowledge(from, &waiting);
            unacknowledged = 0;
        }
        rest = have - done;
        memmove(room, room + done, rest);
    }
}

int main(int count, char **words) {
    bool acknowledges = count == 4 && strcmp(words[1], "acknowledged") == 0;
    if (count != 4 || (!acknowledges && strcmp(words[1], "plain") != 0))
        fail(EXIT_USAGE, "usage: ack_sink plain|acknowledged PORT FILE");
    int listener = listening((uint16_t)number("PORT", words[2], 1, 65535));
    int file = open(words[3], O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (file < 0)
        fail(73, "%s: %s", words[3], strerror(errno));
    int from = accept(listener, NULL, NULL);
    receive(from, file, acknowledges);
    close(from);
    report_count("bytes", bytes_total, "bytes");
    report_count("batches", batches_total, "batches");
    report_count("acks", acks_total, "blocks");
    return 0;
}
