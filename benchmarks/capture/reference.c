/* The same job as the capture writer in plain C: receive with recvmmsg, check the header, append to one capture per call.
 *
 * usage: reference HOST FIRST_PORT PORT_STEP STREAMS TICK_MS SYNC_MS DIRECTORY RECEIVE_BUFFER WARM_MS
 *
 * Every TICK_MS each ready socket is drained (epoll_wait(0), recvmmsg, kernel timestamps, source addresses). Each packet is
 * checked (RTP version 2, length, source and SSRC equal to the first ones seen) and copied into the call's buffers; every
 * SYNC_MS each call's packets are appended as one block of docs/storage-format.md (records, packets, checksum by zlib), and one
 * syncfs makes them durable from a second thread. At the end each capture gets its END block: the same files as the writer's.
 * Prints "ready" when receiving, and after SIGTERM, when all sockets are empty: packets, bad, foreign, and, without the first WARM_MS after the first packet:
 * CPU seconds, packets in that time; worst tick in ms.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

enum { BATCH = 64, SLOT = 2048 };

struct record {
    int64_t arrival_ns;
    uint16_t length, stream, source, flags;
};

struct call {
    int file;
    uint32_t checksum, sequence, count;
    struct record *records;
    unsigned char *data;
    size_t used, room, record_room;
};

struct block {
    char magic[4];
    uint32_t checksum, sequence;
    uint8_t type, flags;
    uint16_t zero;
    uint32_t length, count;
    int64_t written_ns;
};

enum { SESSION = 1, PACKETS = 2, END = 5, SEAL = 12 };

static int directory;
static volatile sig_atomic_t stopped;

static void stop(int number)
{
    (void)number;
    stopped = 1;
}
static sem_t wanted;

static void *syncer(void *unused)
{
    (void)unused;
    for (;;) {
        sem_wait(&wanted);
        if (syncfs(directory))
            abort();
    }
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void put(struct call *call, const struct record *record, const unsigned char *packet)
{
    size_t need = call->used + record->length;
    if (need > call->room) {
        call->room = need > 2 * call->room ? need : 2 * call->room;
        call->data = realloc(call->data, call->room);
    }
    if (call->count == call->record_room) {
        call->record_room = call->record_room ? 2 * call->record_room : 64;
        call->records = realloc(call->records, call->record_room * sizeof *call->records);
    }
    if (!call->data || !call->records)
        abort();
    call->records[call->count++] = *record;
    memcpy(call->data + call->used, packet, record->length);
    call->used = need;
}

static void append(struct call *call, int type, const void *first, size_t first_size, const void *second, size_t size)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    struct block block = {.magic = "TBLK", .sequence = call->sequence++, .type = type, .length = first_size + size,
                          .count = type == PACKETS ? call->count : 0,
                          .written_ns = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec};
    uint32_t sum = crc32(call->checksum, (unsigned char *)&block + SEAL, sizeof block - SEAL);
    sum = crc32(sum, first, first_size);
    block.checksum = call->checksum = size ? crc32(sum, second, size) : sum;
    struct iovec parts[3] = {{&block, sizeof block}, {(void *)first, first_size}, {(void *)second, size}};
    if (writev(call->file, parts, 3) != (ssize_t)(sizeof block + first_size + size))
        abort();
}

static void begin(struct call *call, int number)
{
    static const unsigned char header[16] = "\x89TCAP\r\n\x1a\1\0\0\0\0\0\0";
    char body[512];
    int size = snprintf(body, sizeof body,
                        "{\"session\":\"%032x\",\"writer\":\"reference\",\"host\":\"\",\"wall_ns\":0,\"monotonic_ns\":0,"
                        "\"descriptor\":{},\"streams\":[]}", number);
    if (write(call->file, header, sizeof header) != sizeof header)
        abort();
    call->checksum = crc32(0, header, sizeof header);
    append(call, SESSION, body, size, NULL, 0);
}

static void flush(struct call *call)
{
    if (call->count)
        append(call, PACKETS, call->records, call->count * sizeof *call->records, call->data, call->used);
    call->used = call->count = 0;
}

int main(int argc, char **argv)
{
    if (argc != 10)
        return 2;
    int first_port = atoi(argv[2]), step = atoi(argv[3]), streams = atoi(argv[4]);
    int64_t tick = (int64_t)(atof(argv[5]) * 1e6), interval = (int64_t)(atof(argv[6]) * 1e6);
    int *sockets = calloc(streams, sizeof *sockets), epoll = epoll_create1(0), on = 1, buffer = atoi(argv[8]);
    uint64_t *sources = calloc(streams, sizeof *sources);
    uint32_t *ssrcs = calloc(streams, sizeof *ssrcs);
    struct call *calls = calloc(streams / 2 + 1, sizeof *calls);
    directory = open(argv[7], O_DIRECTORY | O_RDONLY);
    if (directory < 0 || !sockets || !calls || !sources || !ssrcs)
        return 1;
    for (int s = 0; s < streams; s++) {
        struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(first_port + s * step)};
        inet_pton(AF_INET, argv[1], &name.sin_addr);
        sockets[s] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        setsockopt(sockets[s], SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
        if (buffer)
            setsockopt(sockets[s], SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
        if (sockets[s] < 0 || bind(sockets[s], (struct sockaddr *)&name, sizeof name))
            return 1;
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = s};
        epoll_ctl(epoll, EPOLL_CTL_ADD, sockets[s], &event);
        if (s % 2 == 0) {
            char path[64];
            snprintf(path, sizeof path, "%08x.tcap", s / 2);
            calls[s / 2].file = openat(directory, path, O_CREAT | O_EXCL | O_WRONLY | O_APPEND, 0640);
            if (calls[s / 2].file < 0)
                return 1;
            begin(&calls[s / 2], s / 2);
        }
    }
    signal(SIGTERM, stop);
    pthread_t thread;
    sem_init(&wanted, 0, 0);
    pthread_create(&thread, NULL, syncer, NULL);

    static unsigned char slots[BATCH][SLOT] __attribute__((aligned(64)));
    static struct sockaddr_in names[BATCH];
    static struct { _Alignas(8) unsigned char bytes[64]; } controls[BATCH];
    static struct iovec vectors[BATCH];
    static struct mmsghdr messages[BATCH];
    for (int i = 0; i < BATCH; i++) {
        vectors[i] = (struct iovec){slots[i], SLOT};
        messages[i].msg_hdr.msg_name = &names[i];
        messages[i].msg_hdr.msg_iov = &vectors[i];
        messages[i].msg_hdr.msg_iovlen = 1;
        messages[i].msg_hdr.msg_control = controls[i].bytes;
    }
    struct epoll_event *events = calloc(streams, sizeof *events);
    uint64_t packets = 0, bad = 0, foreign = 0;
    int64_t start = now_ns(), flushed = start, worst = 0, first = 0, warm = (int64_t)(atof(argv[9]) * 1e6);
    uint64_t cold = 0;
    int measuring = 0;
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    puts("ready");
    fflush(stdout);
    for (int64_t next = start + tick;; next += tick) {
        int64_t wait = next - now_ns();
        if (wait > 0)
            usleep(wait / 1000);
        int64_t began = now_ns();
        int ready = epoll_wait(epoll, events, streams, 0);
        for (int e = 0; e < ready; e++) {
            int s = events[e].data.u32, n;
            do {
                for (int i = 0; i < BATCH; i++) {
                    messages[i].msg_hdr.msg_namelen = sizeof names[i];
                    messages[i].msg_hdr.msg_controllen = sizeof controls[i];
                }
                n = recvmmsg(sockets[s], messages, BATCH, MSG_DONTWAIT, NULL);
                for (int i = 0; i < n; i++) {
                    uint64_t source;
                    struct record record = {.length = messages[i].msg_len, .stream = s & 1, .source = 1};
                    struct cmsghdr *c = CMSG_FIRSTHDR(&messages[i].msg_hdr);
                    if (c && c->cmsg_type == SCM_TIMESTAMPNS) {
                        struct timespec *t = (struct timespec *)CMSG_DATA(c);
                        record.arrival_ns = (int64_t)t->tv_sec * 1000000000 + t->tv_nsec;
                    }
                    memcpy(&source, &names[i], 8);
                    if (record.length < 12 || (slots[i][0] & 0xc0) != 0x80) {
                        bad++;
                        continue;
                    }
                    uint32_t ssrc;
                    memcpy(&ssrc, slots[i] + 8, 4);
                    if (!sources[s]) {
                        sources[s] = source;
                        ssrcs[s] = ssrc;
                    }
                    if (source != sources[s] || ssrc != ssrcs[s]) {
                        foreign++;
                        continue;
                    }
                    packets++;
                    put(&calls[s / 2], &record, slots[i]);
                }
            } while (n == BATCH);
        }
        int64_t now = now_ns();
        int last = stopped && !ready;
        if (now - flushed >= interval || last) {
            flushed = now;
            for (int c = 0; c < (streams + 1) / 2; c++)
                flush(&calls[c]);
            sem_post(&wanted);
        }
        now = now_ns();
        if (now - began > worst)
            worst = now - began;
        if (!first && packets)
            first = now;
        if (!measuring && first && now - first >= warm) {
            measuring = 1;
            cold = packets;
            getrusage(RUSAGE_SELF, &before);
        }
        if (last)
            break;
    }
    getrusage(RUSAGE_SELF, &after);
    static const char body[] = "{\"cause\":\"bye\",\"at_ns\":0,\"streams\":[]}";
    for (int c = 0; c < (streams + 1) / 2; c++)
        append(&calls[c], END, body, sizeof body - 1, NULL, 0);
    double cpu = (after.ru_utime.tv_sec - before.ru_utime.tv_sec) + (after.ru_stime.tv_sec - before.ru_stime.tv_sec) +
                 (after.ru_utime.tv_usec - before.ru_utime.tv_usec) / 1e6 +
                 (after.ru_stime.tv_usec - before.ru_stime.tv_usec) / 1e6;
    printf("packets %llu bad %llu foreign %llu cpu %.4f measured %llu worst_tick_ms %.1f\n", (unsigned long long)packets,
           (unsigned long long)bad, (unsigned long long)foreign, cpu, (unsigned long long)(packets - cold), worst / 1e6);
    return 0;
}
