/* An HDF5 filter that takes as long as a core of a given speed would, but sleeps, so that many cores can be simulated on
   few. It stands in for lz4, with its number and the sizes that its readers check: 8 bytes of decoded size, 4 of block
   size, 4 of the encoded block's. A chunk that is one block again and again is stored as that block, any other whole. */
#define _POSIX_C_SOURCE 200809L
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LZ4 = 32004, REVERSE = 0x0100, HEADER = 16, LOOKED_AT = 64 };

enum { TIME, CPU, CALLER_CPU, CLOCKS };

static double bytes_per_s; /* of a core; 0: no sleep */
static double spread;      /* how far the time of a chunk may be from that, as a part of it */
static clockid_t clocks[CLOCKS] = {CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID, CLOCK_MONOTONIC};
static _Atomic uint64_t coded_bytes, chunks, asked_ns, first_ns[CLOCKS], last_ns[CLOCKS];

static uint64_t now_ns(clockid_t clock)
{
    struct timespec now = {0};
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static void sleep_until(uint64_t end_ns)
{
    for (uint64_t now = now_ns(CLOCK_MONOTONIC); now < end_ns; now = now_ns(CLOCK_MONOTONIC)) {
        const uint64_t left = end_ns - now;
        nanosleep(&(struct timespec){(time_t)(left / 1000000000U), (long)(left % 1000000000U)}, NULL);
    }
}

/* Called while nothing is encoded or decoded, with the clock of the thread whose CPU time is wanted besides. */
void simulated_begin(double speed, double spread_of_times, int64_t caller)
{
    bytes_per_s = speed;
    spread = spread_of_times;
    clocks[CALLER_CPU] = (clockid_t)caller;
    coded_bytes = chunks = asked_ns = first_ns[TIME] = 0;
}

/* Since then: bytes encoded and decoded; the cores' seconds that this should take; and those from the beginning of the
   first to the end of the last, by a clock. */
uint64_t simulated_bytes(void) { return coded_bytes; }
double simulated_core_seconds(void) { return (double)asked_ns / 1e9; }
double simulated_seconds(int clock) { return (double)(last_ns[clock] - first_ns[clock]) / 1e9; }

/* Times are spread evenly, and come in no order: multiples of the golden ratio. */
static uint64_t time_ns(size_t nbytes)
{
    const uint32_t place = (uint32_t)chunks++ * 2654435769U;
    return (uint64_t)((double)nbytes / bytes_per_s * (1 + spread * (place / 2147483648.0 - 1)) * 1e9);
}

static void put(unsigned char *to, int nbytes, uint64_t number)
{
    for (int i = nbytes; i-- > 0; number >>= 8)
        to[i] = number & 0xFF;
}

static uint64_t get(const unsigned char *from, int nbytes)
{
    uint64_t number = 0;
    for (int i = 0; i < nbytes; i++)
        number = number << 8 | from[i];
    return number;
}

/* Looks at a few bytes of each block: whoever measures compares the frames. */
static int repeats(const unsigned char *data, size_t nbytes, size_t block)
{
    if (block < LOOKED_AT || nbytes % block)
        return 0;
    for (size_t at = block; at < nbytes; at += block)
        if (memcmp(data, data + at, LOOKED_AT) || memcmp(data + block - LOOKED_AT, data + at + block - LOOKED_AT, LOOKED_AT))
            return 0;
    return 1;
}

static unsigned char *encoded(const unsigned char *data, size_t *nbytes, size_t block)
{
    const size_t kept = repeats(data, *nbytes, block) ? block : *nbytes;
    unsigned char *made = malloc(HEADER + kept);
    if (!made)
        return NULL;
    put(made, 8, *nbytes);
    put(made + 8, 4, *nbytes);
    put(made + 12, 4, kept);
    memcpy(made + HEADER, data, kept);
    *nbytes = HEADER + kept;
    return made;
}

static unsigned char *decoded(const unsigned char *data, size_t *nbytes)
{
    const size_t whole = *nbytes > HEADER ? get(data, 8) : 0, kept = *nbytes - HEADER;
    unsigned char *made = whole && get(data + 12, 4) == kept && whole % kept == 0 ? malloc(whole) : NULL;
    for (size_t at = 0; made && at < whole; at += kept)
        memcpy(made + at, data + HEADER, kept);
    *nbytes = whole;
    return made;
}

static size_t filter(unsigned flags, size_t count, const unsigned values[], size_t nbytes, size_t *capacity, void **data)
{
    const uint64_t begun_ns = now_ns(CLOCK_MONOTONIC);
    const size_t before = nbytes;
    uint64_t none = 0;
    if (atomic_compare_exchange_strong(&first_ns[TIME], &none, begun_ns))
        for (int clock = CPU; clock < CLOCKS; clock++)
            first_ns[clock] = now_ns(clocks[clock]);
    unsigned char *made = flags & REVERSE ? decoded(*data, &nbytes) : encoded(*data, &nbytes, count ? values[0] : 0);
    if (!made)
        return 0;
    free(*data);
    *data = made;
    *capacity = nbytes;
    const size_t coded = flags & REVERSE ? nbytes : before;
    if (bytes_per_s > 0) {
        const uint64_t asked = time_ns(coded);
        asked_ns += asked;
        sleep_until(begun_ns + asked);
    }
    coded_bytes += coded;
    for (int clock = TIME; clock < CLOCKS; clock++)
        last_ns[clock] = now_ns(clocks[clock]);
    return nbytes;
}

/* H5Z_class2_t of HDF5's H5Zdevelop.h, written out so that HDF5's headers are not needed. */
static const struct {
    int version, id;
    unsigned encodes, decodes;
    const char *name;
    void *can_apply, *set_local;
    size_t (*filter)(unsigned, size_t, const unsigned[], size_t, size_t *, void **);
} description = {1, LZ4, 1, 1, "simulated core", NULL, NULL, filter};

int H5PLget_plugin_type(void) { return 0; }
const void *H5PLget_plugin_info(void) { return &description; }
