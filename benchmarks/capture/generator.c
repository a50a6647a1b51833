/* RTP load for the capture benchmark: real-time G.711-like streams whose payload says what they are.
 *
 * usage: generator HOST STREAMS SECONDS JITTER_MS REORDER_PERMILLE LOSS_PERMILLE PARTS PART [SEALED SIZE] < ports
 *
 * Standard input names the port of each stream. 50 packets per second of 12 + 160 bytes go to each; streams 2k and 2k+1
 * belong to call k. Of PARTS processes this one, PART, sends every call whose number modulo PARTS is its own.
 * A payload is 40 words of 32 bits, little-endian: call, stream, sequence, then word i = mix(stream, sequence) + i.
 * Jitter delays a packet by 0..JITTER_MS; a reordered packet is delayed by 25..45 ms; a lost one is not sent.
 * SEALED is a file of packets of SIZE bytes, those of stream 0 first, which are sent in place of plain ones: SRTP.
 * Prints one line: packets sent, packets left out on purpose, send errors, worst lateness in ms, CPU seconds.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PAYLOAD = 160, HEADER = 12, SIZE = HEADER + PAYLOAD, LONGEST = SIZE + 32, BATCH = 64, SENDERS = 16, SLOT_US = 500, WHEEL = 256 };

static uint32_t mix(uint32_t stream, uint32_t sequence)
{
    uint32_t x = stream * 2654435761u ^ (sequence + 0x9e3779b9u) * 2246822519u;
    x ^= x >> 15;
    x *= 2246822519u;
    return x ^ x >> 13;
}

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

struct due {
    uint32_t stream, sequence;
};

struct slot {
    struct due *items;
    int count, room;
};

static struct slot wheel[WHEEL];
static struct sockaddr_in host;
static int *ports, senders[SENDERS];
static uint64_t sent, errors;
static const unsigned char *sealed;
static size_t size = SIZE;
static uint32_t per_stream;

static void schedule(int64_t slot, struct due item)
{
    struct slot *s = &wheel[slot % WHEEL];
    if (s->count == s->room) {
        s->room = s->room ? 2 * s->room : 64;
        s->items = realloc(s->items, s->room * sizeof *s->items);
        if (!s->items)
            abort();
    }
    s->items[s->count++] = item;
}

static void compose(unsigned char *packet, struct due item)
{
    if (sealed) {
        memcpy(packet, sealed + ((size_t)item.stream * per_stream + item.sequence) * size, size);
        return;
    }
    uint32_t *words = (uint32_t *)(packet + HEADER), base = mix(item.stream, item.sequence);
    uint32_t timestamp = htonl(item.sequence * PAYLOAD), ssrc = htonl(0x10000000u + item.stream);
    packet[0] = 0x80;
    packet[1] = 0;
    packet[2] = item.sequence >> 8;
    packet[3] = item.sequence;
    memcpy(packet + 4, &timestamp, 4);
    memcpy(packet + 8, &ssrc, 4);
    words[0] = item.stream / 2;
    words[1] = item.stream;
    words[2] = item.sequence;
    for (int i = 3; i < PAYLOAD / 4; i++)
        words[i] = base + i;
}

static void flush(int sender, struct mmsghdr *messages, int count)
{
    for (int done = 0; done < count;) {
        int n = sendmmsg(senders[sender], messages + done, count - done, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            errors++;
            done++;
            continue;
        }
        sent += n;
        done += n;
    }
}

static void send_slot(struct slot *s)
{
    static unsigned char packets[SENDERS][BATCH][LONGEST] __attribute__((aligned(64)));
    static struct sockaddr_in names[SENDERS][BATCH];
    static struct iovec vectors[SENDERS][BATCH];
    static struct mmsghdr messages[SENDERS][BATCH];
    int counts[SENDERS] = {0};
    for (int i = 0; i < s->count; i++) {
        int sender = s->items[i].stream % SENDERS, k = counts[sender]++;
        compose(packets[sender][k], s->items[i]);
        names[sender][k] = host;
        names[sender][k].sin_port = htons(ports[s->items[i].stream]);
        vectors[sender][k] = (struct iovec){packets[sender][k], size};
        memset(&messages[sender][k], 0, sizeof messages[sender][k]);
        messages[sender][k].msg_hdr.msg_name = &names[sender][k];
        messages[sender][k].msg_hdr.msg_namelen = sizeof names[sender][k];
        messages[sender][k].msg_hdr.msg_iov = &vectors[sender][k];
        messages[sender][k].msg_hdr.msg_iovlen = 1;
        if (counts[sender] == BATCH) {
            flush(sender, messages[sender], BATCH);
            counts[sender] = 0;
        }
    }
    for (int sender = 0; sender < SENDERS; sender++)
        if (counts[sender])
            flush(sender, messages[sender], counts[sender]);
    s->count = 0;
}

int main(int argc, char **argv)
{
    if (argc != 9 && argc != 11) {
        fprintf(stderr, "usage: generator HOST STREAMS SECONDS JITTER_MS REORDER_PERMILLE LOSS_PERMILLE PARTS PART [SEALED SIZE] < ports\n");
        return 2;
    }
    host.sin_family = AF_INET;
    if (inet_pton(AF_INET, argv[1], &host.sin_addr) != 1)
        return 2;
    int streams = atoi(argv[2]), jitter_us = (int)(atof(argv[4]) * 1000), parts = atoi(argv[7]), part = atoi(argv[8]);
    double seconds = atof(argv[3]);
    unsigned reorder = atoi(argv[5]), loss = atoi(argv[6]);
    ports = calloc(streams, sizeof *ports);
    for (int i = 0; i < streams; i++)
        if (!ports || scanf("%d", &ports[i]) != 1)
            return 2;
    for (int i = 0; i < SENDERS; i++) {
        int room = 8 << 20;
        senders[i] = socket(AF_INET, SOCK_DGRAM, 0);
        setsockopt(senders[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
        struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr = host.sin_addr};
        if (senders[i] < 0 || bind(senders[i], (struct sockaddr *)&any, sizeof any))
            return 1;
    }
    per_stream = (uint32_t)(seconds * 50);
    if (argc == 11) {
        int file = open(argv[9], O_RDONLY);
        size = atoi(argv[10]);
        sealed = mmap(NULL, size * per_stream * streams, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
        if (size > LONGEST || sealed == MAP_FAILED)
            return 1;
    }
    uint64_t left_out = 0;
    int64_t start = now_us(), worst = 0, last = (int64_t)per_stream * 20000 / SLOT_US + WHEEL;
    for (int64_t slot = 0; slot < last; slot++) {
        /* Streams whose frame falls into this slot: phases spread evenly over 20 ms. */
        int64_t frame = slot * SLOT_US / 20000, phase = slot % (20000 / SLOT_US);
        if (frame < per_stream)
            for (int64_t s = phase; s < streams; s += 20000 / SLOT_US) {
                if (s / 2 % parts != part)
                    continue;
                uint32_t dice = mix((uint32_t)s ^ 0x5bd1e995u, (uint32_t)frame);
                if (dice % 1000 < loss) {
                    left_out++;
                    continue;
                }
                int64_t delay = jitter_us ? (dice >> 10) % jitter_us : 0;
                if ((dice >> 4) % 1000 < reorder)
                    delay = 25000 + (dice >> 12) % 20000;
                schedule(slot + delay / SLOT_US, (struct due){(uint32_t)s, (uint32_t)frame});
            }
        int64_t due = start + slot * SLOT_US, wait = due - now_us();
        if (wait > 0)
            usleep(wait);
        else if (-wait > worst)
            worst = -wait;
        send_slot(&wheel[slot % WHEEL]);
    }
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("sent %llu left_out %llu errors %llu worst_late_ms %.1f cpu %.3f\n", (unsigned long long)sent,
           (unsigned long long)left_out, (unsigned long long)errors, worst / 1000.0,
           usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    return 0;
}
